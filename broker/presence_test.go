package broker

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// The engine hears which things are connected: of one that is let in, of one that takes
// over as if nothing happened, of one that loses a thing, of one that goes.
func TestPresence(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		want := func(what string, changes int, things ...string) {
			t.Helper()
			synctest.Wait()
			if got, n := e.presence(); !slices.Equal(got, things) || n != changes {
				t.Errorf("%s: %q are connected after %d changes, want %q after %d", what, got, n, things, changes)
			}
		}
		refused := newDevice(t, dial(t, b, e.certificate("c0", "pump-1")), version)
		refused.connect(connectOptions{id: "$pump-1"})
		want("refused", 0)
		gateway := func() *device {
			d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1", "pump-2")), version)
			if _, code := d.connect(connectOptions{id: "gateway"}); code != 0 {
				t.Fatalf("CONNACK %#x", code)
			}
			return d
		}
		gateway()
		want("connected", 2, "pump-1", "pump-2")
		second := gateway()
		want("taken over", 2, "pump-1", "pump-2")
		e.change("c1", func(b *jobsvc.Binding) { b.Things = []string{"pump-1"} })
		b.Sessions().CertificateChanged("c1")
		want("detached", 3, "pump-1")
		second.conn.Close()
		want("gone", 4)
	})
}
