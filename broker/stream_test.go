package broker

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// mixed is what a device may send: requests of a plain form, among packets mochi must
// see, in an order that shows in the answers.
func mixed(version byte) []byte {
	d := &device{version: version}
	publish := func(header byte, topic string, id []byte, props []byte, payload string) []byte {
		return frame(header, mstr(topic), id, d.props(props), []byte(payload))
	}
	packets := [][]byte{
		publish(0x32, jobs+"a/update", []byte{0, 1}, nil, `{"status":"IN_PROGRESS","clientToken":"1"}`),
		frame(0x82, []byte{0, 2}, d.props(nil), mstr(jobs+"notify"), []byte{1}),
		publish(0x30, jobs+"get", nil, nil, ``),
		publish(0x3B, jobs+"a/update", []byte{0, 3}, nil, `{"status":"SUCCEEDED","clientToken":"`+strings.Repeat("x", 60)+`"}`),
		{0xC0, 0},
		publish(0x32, jobs+"$next/get", []byte{0, 4}, nil, `no JSON`),
		publish(0x32, jobs+"nothing", []byte{0, 5}, nil, `{}`),
		frame(0xA2, []byte{0, 6}, d.props(nil), mstr(jobs+"notify")),
		publish(0x32, jobs+"start-next", []byte{0, 7}, nil, `{}`),
	}
	if version >= 5 {
		packets = append(packets, publish(0x32, jobs+"start-next", []byte{0, 8}, []byte{9, 0, 2, 'h', 'i'}, `{}`))
	}
	return bytes.Join(append(packets, publish(0x32, jobs+"get", []byte{0, 9}, nil, `{}`)), nil)
}

// answersTo gives the packets a device gets for what it writes, piece by piece.
func answersTo(t *testing.T, version byte, pieces ...[]byte) []packet {
	t.Helper()
	var got []packet
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		d := pump(t, startBroker(t, e, nil), e, version)
		for _, p := range pieces {
			d.write(p)
			synctest.Wait()
		}
		for len(d.packets) > 0 {
			got = append(got, <-d.packets)
		}
	})
	return got
}

// However the network cuts what a device sends, and whether mochi sees a packet or not,
// the answers are the same, in the same order.
func TestStreamCutAnywhere(t *testing.T) {
	for _, version := range []byte{4, 5} {
		b := mixed(version)
		var bytewise [][]byte
		for i := range b {
			bytewise = append(bytewise, b[i:i+1])
		}
		want := answersTo(t, version, bytewise...)
		if n := 16 + int(version-4)*2; len(want) != n {
			t.Fatalf("version %d: %d packets, want %d", version, len(want), n)
		}
		for i := range b {
			got := answersTo(t, version, b[:i+1], b[i+1:])
			if !slices.EqualFunc(got, want, func(a, b packet) bool { return a.header == b.header && bytes.Equal(a.body, b.body) }) {
				t.Fatalf("version %d, cut behind byte %d:\ngot  %q\nwant %q", version, i, got, want)
			}
		}
	}
}

func TestPlainRequestsPassMochiBy(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		seen := atomic.LoadInt64(&b.mqtt.Info.PacketsReceived)
		var all []byte
		for id := byte(1); id <= 100; id++ {
			all = append(all, frame(0x32, mstr(jobs+"get"), []byte{0, id}, d.props(nil), []byte(fmt.Sprintf(`{"clientToken":"%d"}`, id)))...)
			d.publish(jobs+"get", "", uint16(id))
			d.puback(uint16(id))
			d.reply(jobs + "get/accepted")
		}
		if n := atomic.LoadInt64(&b.mqtt.Info.PacketsReceived) - seen; n != 0 {
			t.Errorf("mochi read %d of 100 packets", n)
		}
		d.write(all) // more than a buffer holds: some are cut
		for id := byte(1); id <= 100; id++ {
			d.puback(uint16(id))
			contains(t, d.reply(jobs+"get/accepted"), fmt.Sprintf(`"clientToken":"%d"`, id))
		}
		// mochi counts a packet when it is read, and again when it is handed over.
		if n := (atomic.LoadInt64(&b.mqtt.Info.PacketsReceived) - seen) / 2; n == 0 || n > 90 {
			t.Errorf("mochi read %d of 100 packets sent together", n)
		}
	})
}

// A topic that was allowed before must not stay so.
func TestPlainRequestAfterRightsChanged(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("c1", "pump-1", "pump-2")
		d := newDevice(t, dial(t, b, id), version)
		d.connect(connectOptions{id: "gateway", keepAlive: 60})
		d.publish("$aws/things/pump-2/jobs/get", "", 0)
		d.reply("$aws/things/pump-2/jobs/get/accepted")
		e.change("c1", func(b *jobsvc.Binding) { b.Things = []string{"pump-1"} })
		b.sessions.CertificateChanged("c1")
		synctest.Wait()
		d.publish("$aws/things/pump-2/jobs/get", "", 0)
		d.quiet()
	})
}

func TestMalformedLengthIsLeftToMochi(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		d := pump(t, startBroker(t, e, nil), e, version)
		d.write([]byte{0xC0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80})
		d.write(frame(0x30, mstr(jobs+"get"), d.props(nil)))
		synctest.Wait()
		for p := range d.packets {
			if p.header&0xF0 == 0x30 {
				t.Fatalf("a request behind a malformed packet was answered: %q", p.body)
			}
		}
	})
}

// The keep-alive counts from the last request, to within a second.
func TestKeepAliveOfRequests(t *testing.T) {
	for _, pause := range []time.Duration{80 * time.Second, 100 * time.Millisecond} {
		bubble(t, func(t *testing.T, version byte) {
			e := &fakeEngine{}
			d := pump(t, startBroker(t, e, nil), e, version)
			for range 5 {
				time.Sleep(pause)
				d.publish(jobs+"get", "", 0)
				d.reply(jobs + "get/accepted")
			}
			start := time.Now()
			_, open := <-d.packets
			if idle := time.Since(start); open || idle < 90*time.Second || idle > 91*time.Second {
				t.Errorf("cut after %v of silence (open %v), want 90 s", idle, open)
			}
		})
	}
}

func FuzzStream(f *testing.F) {
	f.Add(mixed(4), []byte{3, 200, 7})
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0}, []byte{1})
	f.Fuzz(func(t *testing.T, b, cuts []byte) {
		// Cut or whole, pass finds the same place behind what it was given.
		var whole, cut stream
		whole.pass(b)
		for rest := b; len(rest) > 0; {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, 1+int(cuts[0]))
				cuts = cuts[1:]
			}
			cut.pass(rest[:n])
			rest = rest[n:]
		}
		if whole.rest != cut.rest || whole.header != cut.header || whole.lost != cut.lost {
			t.Fatalf("whole %+v, cut %+v", whole, cut)
		}
	})
}
