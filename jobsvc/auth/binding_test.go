package auth

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func TestBind(t *testing.T) {
	now := time.Unix(1773136802, 0)
	cert := func(status jobsvc.CertificateStatus, things ...string) *jobsvc.Binding {
		return &jobsvc.Binding{
			Certificate: jobsvc.Certificate{ID: "c0ffee", Status: status, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)},
			Things:      things,
		}
	}
	early, late := cert(jobsvc.CertificateActive, "pump-1"), cert(jobsvc.CertificateActive, "pump-1")
	early.NotBefore = now.Add(time.Second)
	late.NotAfter = now.Add(-time.Second)
	registered := []string{"pump-1", "pump-2", "pump-3"}
	exists := func(name string) (bool, error) { return slices.Contains(registered, name), nil }

	tests := []struct {
		name     string
		binding  *jobsvc.Binding
		clientID string
		want     []string // nil: refused
	}{
		{"own thing", cert(jobsvc.CertificateActive, "pump-1"), "pump-1", []string{"pump-1"}},
		{"own thing, second connection", cert(jobsvc.CertificateActive, "pump-1"), "pump-1#2", []string{"pump-1"}},
		{"gateway as one of its things", cert(jobsvc.CertificateActive, "pump-2", "pump-1"), "pump-2", []string{"pump-2"}},
		{"gateway", cert(jobsvc.CertificateActive, "pump-2", "pump-1"), "test-1", []string{"pump-1", "pump-2"}},
		{"foreign thing", cert(jobsvc.CertificateActive, "pump-1"), "pump-3", nil},
		{"foreign thing with suffix", cert(jobsvc.CertificateActive, "pump-1"), "pump-3#x", nil},
		{"free ID that extends a thing's name", cert(jobsvc.CertificateActive, "pump-1"), "pump-17", []string{"pump-1"}},
		{"not a name", cert(jobsvc.CertificateActive, "pump-1"), "test/1", []string{"pump-1"}},
		{"no thing", cert(jobsvc.CertificateActive), "pump-1", nil},
		{"inactive", cert(jobsvc.CertificateInactive, "pump-1"), "pump-1", nil},
		{"revoked", cert(jobsvc.CertificateRevoked, "pump-1"), "pump-1", nil},
		{"not yet", early, "pump-1", nil},
		{"expired", late, "pump-1", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Bind(tt.binding, tt.clientID, now, exists)
			if tt.want == nil {
				if r := (*Refusal)(nil); !errors.As(err, &r) || c != nil {
					t.Fatalf("got %+v, %v; want a refusal", c, err)
				}
				return
			}
			if err != nil || !slices.Equal(c.Things, tt.want) || c.CertificateID != "c0ffee" {
				t.Fatalf("got %+v, %v; want %v", c, err, tt.want)
			}
		})
	}

	broken := errors.New("store is down")
	down := func(string) (bool, error) { return false, broken }
	if _, err := Bind(cert(jobsvc.CertificateActive, "pump-1"), "other", now, down); err != broken {
		t.Errorf("err = %v, want that of the store", err)
	}
	if _, err := BindInsecure("pump-1", down); err != broken {
		t.Errorf("err = %v, want that of the store", err)
	}
	if c, err := BindInsecure("pump-1#2", exists); err != nil || !slices.Equal(c.Things, []string{"pump-1"}) {
		t.Errorf("insecure: %+v, %v", c, err)
	}
	// On the listener for development everyone is an operator; one name needs no thing.
	for id, things := range map[string][]string{"pump-1": {"pump-1"}, "operator": nil, "operator#2": nil} {
		if c, err := BindInsecure(id, exists); err != nil || !c.Operator || !slices.Equal(c.Things, things) {
			t.Errorf("insecure %q: %+v, %v", id, c, err)
		}
	}
	for _, id := range []string{"", "pump-9", "a b", "operator-2"} {
		if _, err := BindInsecure(id, exists); err == nil {
			t.Errorf("insecure %q was let in", id)
		}
	}
}

// TestBindOperator: an operator's certificate needs no thing, and is no way to be one.
func TestBindOperator(t *testing.T) {
	now := time.Unix(1773136802, 0)
	exists := func(name string) (bool, error) { return name == "pump-1" || name == "pump-2", nil }
	cert := func(status jobsvc.CertificateStatus, things ...string) *jobsvc.Binding {
		return &jobsvc.Binding{Certificate: jobsvc.Certificate{ID: "c0ffee", Status: status}, Things: things}
	}
	for _, tt := range []struct {
		name     string
		binding  *jobsvc.Binding
		clientID string
		things   []string
		refused  bool
	}{
		{"no thing", cert(jobsvc.CertificateActive), "console", nil, false},
		{"with a thing", cert(jobsvc.CertificateActive, "pump-1"), "pump-1", []string{"pump-1"}, false},
		{"as a thing that is not its", cert(jobsvc.CertificateActive), "pump-2#x", nil, true},
		{"inactive", cert(jobsvc.CertificateInactive), "console", nil, true},
	} {
		c, err := BindOperator(tt.binding, tt.clientID, now, exists)
		if tt.refused {
			if r := (*Refusal)(nil); !errors.As(err, &r) {
				t.Errorf("%s: got %+v, %v; want a refusal", tt.name, c, err)
			}
			continue
		}
		if err != nil || !c.Operator || !slices.Equal(c.Things, tt.things) || c.CertificateID != "c0ffee" {
			t.Errorf("%s: got %+v, %v", tt.name, c, err)
		}
	}
	op := &Connection{ClientID: "console", Operator: true}
	for topic, may := range map[string]bool{
		"$aws/events/#": true, "$aws/events/job/+/completed": true, "$aws/events": false, "$aws/#": false, "#": false, "$aws/+/job/#": false,
		"$aws/eventsx/a": false, "$aws/things/pump-1/jobs/notify": false,
	} {
		if op.MaySubscribe(topic, time.Time{}) != may || op.MayReceive(topic, time.Time{}) != may {
			t.Errorf("an operator and %s: subscribe %v, receive %v", topic, op.MaySubscribe(topic, time.Time{}), op.MayReceive(topic, time.Time{}))
		}
		if op.MayPublish(topic, false, time.Time{}) {
			t.Errorf("an operator may publish %s", topic)
		}
	}
}

func TestConnectionMay(t *testing.T) {
	c := &Connection{ClientID: "x", Things: []string{"pump-1", "pump-2"}}
	tests := []struct {
		topic              string
		publish, subscribe bool
	}{
		{"$aws/things/pump-1/jobs/get", true, true},
		{"$aws/things/pump-2/jobs/a/update", true, true},
		{"$aws/things/pump-1/jobs", false, true},
		{"$aws/things/pump-1/jobsx/get", false, true},
		{"$aws/things/pump-1/shadow/update", false, true},
		{"$aws/things/pump-1/#", false, true},
		{"$aws/things/pump-1/+/notify", false, true},
		{"$aws/things/pump-17/jobs/get", false, false},
		{"$aws/things/pump-/jobs/get", false, false},
		{"$aws/things/pump-1", false, false},
		{"$aws/things/+/jobs/notify", false, false},
		{"$aws/things/#", false, false},
		{"$aws/+/pump-1/jobs/notify", false, false},
		{"+/things/pump-1/jobs/notify", false, false},
		{"$AWS/things/pump-1/jobs/get", false, false},
		{"#", false, false},
		{"", false, false},
		{"$share/g/$aws/things/pump-1/jobs/notify", false, false},
		{"$SYS/broker", false, false},
		{"$aws/events/presence/connected/pump-1", false, false},
		{"plant/pump-1", false, false},
	}
	for _, tt := range tests {
		if got := c.MayPublish(tt.topic, false, time.Time{}); got != tt.publish {
			t.Errorf("MayPublish(%q) = %v", tt.topic, got)
		}
		if got := c.MaySubscribe(tt.topic, time.Time{}); got != tt.subscribe {
			t.Errorf("MaySubscribe(%q) = %v", tt.topic, got)
		}
		if got := c.MayReceive(tt.topic, time.Time{}); got != tt.subscribe {
			t.Errorf("MayReceive(%q) = %v", tt.topic, got)
		}
	}
}
