package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Conformance check 1: no subscription, zero bytes, both QoS.
func TestReplyWithoutSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		want := fmt.Sprintf(`{"timestamp":%d}`, time.Now().Unix())
		for id := range uint16(2) { // 0: QoS 0
			d.publish(jobs+"$next/get", "", id)
			if id != 0 {
				d.puback(id)
			}
			if got := d.reply(jobs + "$next/get/accepted"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		d.quiet()
	})
}

// Conformance checks 2 and 3: one copy, to the requester alone.
func TestExactlyOneReply(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		other := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
		other.connect(connectOptions{id: "pump-1#2"})
		other.subscribe(1, jobs+"#", jobs+"start-next/+")
		d.subscribe(1, jobs+"#", jobs+"start-next/accepted")
		d.publish(jobs+"start-next", `{"clientToken":"x"}`, 1)
		d.puback(1)
		contains(t, d.reply(jobs+"start-next/accepted"), `{"clientToken":"x","timestamp":`)
		d.quiet()
		other.quiet()
	})
}

func TestRequestsReachTheEngine(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)

		now := time.Now()
		x := &jobsvc.JobExecution{JobID: "get", Status: jobsvc.StatusInProgress, QueuedAt: now, LastUpdatedAt: now, VersionNumber: 2, ExecutionNumber: 1}
		doc := &jobsvc.Document{Text: []byte(`{"n":1.0,"u":"a&b","n2":12345678901234567890}`)}
		e.describe = func(r *jobsvc.DescribeJobExecutionRequest) (*jobsvc.DeviceExecution, error) {
			if r.ThingName != "pump-1" || r.JobID != "get" || r.NamespaceID != "" || !r.Sign || !r.IncludeDocument {
				t.Errorf("describe %+v", r)
			}
			return &jobsvc.DeviceExecution{Execution: x, Document: doc, Time: now}, nil
		}
		d.publish(jobs+"get/get", "", 0) // check 15: a job called get; check 11: its document as written
		contains(t, d.reply(jobs+"get/get/accepted"), `"jobId":"get"`, `"jobDocument":{"n":1.0,"u":"a&b","n2":12345678901234567890}`)

		e.update = func(r *jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) {
			if r.ThingName != "pump-1" || r.JobID != "j" || r.NamespaceID != "ns" || !r.Sign || *r.ExpectedVersion != 3 || r.ClientToken != "t" {
				t.Errorf("update %+v", r)
			}
			return &jobsvc.UpdateJobExecutionResult{State: jobsvc.JobExecutionState{Status: r.Status, VersionNumber: 4}, Time: now}, nil
		}
		d.publish(jobs+"j/namespace-ns/update", `{"status":"SUCCEEDED","expectedVersion":"3","clientToken":"t","includeJobExecutionState":true}`, 7)
		d.puback(7)
		contains(t, d.reply(jobs+"j/namespace-ns/update/accepted"), `{"clientToken":"t","timestamp":`, `"executionState":{"status":"SUCCEEDED","versionNumber":4}}`)

		d.publish(jobs+"get", `{}`, 8)
		d.puback(8)
		contains(t, d.reply(jobs+"get/accepted"), `"inProgressJobs":[],"queuedJobs":[]}`)

		e.update = func(*jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) {
			return nil, &jobsvc.Error{Code: jobsvc.CodeVersionMismatch, Message: "No.", State: &jobsvc.JobExecutionState{Status: jobsvc.StatusQueued, VersionNumber: 1}}
		}
		d.publish(jobs+"j/update", `{"status":"FAILED"}`, 9)
		d.puback(9)
		contains(t, d.reply(jobs+"j/update/rejected"), `{"code":"VersionMismatch","message":"No.","timestamp":`, `"executionState":{"status":"QUEUED","versionNumber":1}}`)

		e.update = func(*jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) { panic("bug") }
		d.publish(jobs+"j/update", `{"status":"FAILED","clientToken":"t"}`, 9)
		d.puback(9)
		contains(t, d.reply(jobs+"j/update/rejected"), `{"code":"InternalError"`, `"clientToken":"t"`)
	})
}

// Conformance checks 13 and 14.
func TestRefusedRequests(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		for i, tt := range []struct{ suffix, payload, code string }{
			{"get", "not json", "InvalidJson"},
			{"foo/bar/baz", "{}", "InvalidTopic"},
			{"$next/update", "{}", "InvalidTopic"},
			{"j/update", "{}", "InvalidRequest"},
			{"start-next", `{"stepTimeoutInMinutes":0}`, "InvalidRequest"},
		} {
			id := uint16(i + 1)
			d.publish(jobs+tt.suffix, tt.payload, id)
			d.puback(id)
			contains(t, d.reply(jobs+tt.suffix+"/rejected"), `{"code":"`+tt.code+`","message":"`)
		}
		// The reply's topic would have nine levels: PUBACK alone.
		d.publish(jobs+"a/b/c/d", "{}", 100)
		d.puback(100)
		d.quiet()
	})
}

func TestCorrelationData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, 5)
		props := append([]byte{0x09, 0, 2, 'i', 'd', 0x26}, append(mstr("user"), mstr("property")...)...)
		d.publish(jobs+"start-next", "", 3, props...)
		d.puback(3) // two bytes: no properties come back with it
		topic, _, _, got := d.published()
		if topic != jobs+"start-next/accepted" || string(got) != "\x09\x00\x02id" {
			t.Errorf("%s: properties %q", topic, got)
		}
	})
}

type fakeDocuments struct {
	mu   sync.Mutex
	err  error
	text string
}

func (f *fakeDocuments) set(err error, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.text = err, text
}

func (f *fakeDocuments) Substitute(dst []byte, doc *jobsvc.Document, _ time.Time) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return append(dst, "half a docu"...), f.err
	}
	return append(dst, f.text...), nil
}

// What cannot be filled in is not sent, and what happened is not denied.
func TestDocumentTrouble(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		now := time.Now()
		doc := &jobsvc.Document{Text: []byte(`"${aws:iot:s3-presigned-url:x}"`)}
		x := &jobsvc.DeviceExecution{Execution: &jobsvc.JobExecution{JobID: "j", Status: jobsvc.StatusQueued, QueuedAt: now, LastUpdatedAt: now}, Document: doc, Time: now}
		e := &fakeEngine{
			start: func(*jobsvc.StartNextPendingJobExecutionRequest) (*jobsvc.DeviceExecution, error) { return x, nil },
			update: func(*jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) {
				return &jobsvc.UpdateJobExecutionResult{Document: doc, Time: now}, nil
			},
		}
		docs := &fakeDocuments{}
		b := startBroker(t, e, func(o *Options) { o.Documents = docs })
		d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
		d.connect(connectOptions{id: "pump-1", properties: []byte{0x27, 0, 0, 8, 0}}) // 2048 bytes
		try := func(start, update string) {
			t.Helper()
			d.publish(jobs+"start-next", "", 0)
			_, got, _, _ := d.published()
			contains(t, got, start)
			if strings.Contains(got, "half") {
				t.Error(got)
			}
			d.publish(jobs+"j/update", `{"status":"SUCCEEDED","includeJobDocument":true}`, 0)
			topic, got, _, _ := d.published()
			if topic != jobs+"j/update/accepted" {
				t.Fatalf("update: %s %s", topic, got)
			}
			if got != fmt.Sprintf(update, now.Unix()) {
				t.Errorf("update: got %s", got)
			}
		}
		docs.set(nil, `{"url":"https://x?a&b"}`)
		try(docs.text, `{"timestamp":%d,"jobDocument":{"url":"https://x?a&b"}}`)
		docs.set(jobsvc.Errorf(jobsvc.CodeInternal, "Cannot sign URLs with role jobs-download."), "")
		try(`"code":"InternalError","message":"Cannot sign URLs with role jobs-download."`, `{"timestamp":%d}`)
		docs.set(errors.New("secret"), "")
		try(`"code":"InternalError","message":"The service could not`, `{"timestamp":%d}`)
		docs.set(nil, `"`+strings.Repeat("x", 131072)+`"`)
		try(`"code":"InternalError","message":"The reply has more than`, `{"timestamp":%d}`)
		if version == 5 {
			docs.set(nil, `"`+strings.Repeat("x", 2048)+`"`)
			try(`"message":"Document does not fit the client's Maximum Packet Size."`, `{"timestamp":%d}`)
		}
	})
}

// Requests of one connection are answered in order, also when they come in one piece.
func TestOrderOfReplies(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		var all []byte
		for i := range uint16(50) {
			part := (&device{version: version}).props(nil)
			all = append(all, frame(0x32, mstr(jobs+"get"), []byte{0, byte(i + 1)}, part, fmt.Appendf(nil, `{"clientToken":"%d"}`, i))...)
		}
		d.write(all)
		for i := range uint16(50) {
			d.puback(i + 1)
			contains(t, d.reply(jobs+"get/accepted"), fmt.Sprintf(`{"clientToken":"%d"`, i))
		}
	})
}

func TestPublishDenied(t *testing.T) {
	topics := []string{
		jobs + "notify", jobs + "notify-next", jobs + "get/accepted", jobs + "j/update/rejected", jobs + "notify-namespace-n",
		"$aws/things/pump-2/jobs/get", "$aws/things/pump-2/jobs/notify-next", "$aws/things/pump-1/shadow/update", "$aws/things/pump-1/jobs",
		"$aws/events/presence/connected/pump-1", "plant/x", "$SYS/x", "$sys",
	}
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{things: []string{"pump-2"}}
		b := startBroker(t, e, nil)
		watcher := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
		watcher.connect(connectOptions{id: "pump-1#watch"})
		watcher.subscribe(1, "$aws/things/pump-1/#")
		for _, topic := range topics {
			d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
			d.connect(connectOptions{id: "pump-1"})
			d.publish(topic, "{}", 0)
			d.quiet()
			d.publish(topic, "{}", 9, append([]byte{0x26}, append(mstr("user"), mstr("property")...)...)...)
			if version < 5 {
				d.closed()
				continue
			}
			p := d.next()
			if p.header != 0x40 || p.body[1] != 9 || p.body[2] != 0x87 || strings.Contains(string(p.body), "user") {
				t.Errorf("%s: got %x %x, want PUBACK 0x87 without user properties", topic, p.header, p.body)
			}
			d.quiet()
			d.conn.Close()
		}
		watcher.quiet()
	})
}

func TestPublishForm(t *testing.T) {
	big := strings.Repeat("x", jobsvc.MaxMessageBytes+1)
	tests := []struct {
		name  string
		code  byte
		write func(d *device)
	}{
		{"payload", 0x95, func(d *device) { d.publish(jobs+"get", big, 1) }},
		{"payload, QoS 0", 0x95, func(d *device) { d.publish(jobs+"get", big, 0) }},
		{"topic length", 0x90, func(d *device) { d.publish(jobs+strings.Repeat("x", 256), "", 1) }},
		{"topic depth", 0x90, func(d *device) { d.publish(jobs+"a/b/c/d/e", "", 1) }},
		{"wildcard", 0x90, func(d *device) { d.publish(jobs+"+/get", "", 1) }},
		{"QoS 2", 0x9B, func(d *device) {
			d.write(frame(0x34, mstr(jobs+"get"), []byte{0, 1}, d.props(nil)))
		}},
		{"PUBREL", 0x82, func(d *device) { d.write([]byte{0x62, 2, 0, 1}) }},
	}
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		for _, tt := range tests {
			t.Logf("%s", tt.name)
			d := pump(t, b, e, version)
			go tt.write(d)
			if version < 5 {
				d.closed()
			} else {
				d.disconnected(tt.code)
			}
		}
		d := pump(t, b, e, version)
		go d.publish(jobs+"get", big[1:], 0) // of the largest size: a bad request, no more
		contains(t, d.reply(jobs+"get/rejected"), "InvalidJson")
	})
}

// Close lets the request under way finish; the answer leaves.
func TestCloseAnswersWhatIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		entered, commit := make(chan struct{}), make(chan struct{})
		e := &fakeEngine{start: func(*jobsvc.StartNextPendingJobExecutionRequest) (*jobsvc.DeviceExecution, error) {
			close(entered)
			<-commit
			return &jobsvc.DeviceExecution{Time: time.Now()}, nil
		}}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		idle := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
		idle.connect(connectOptions{id: "pump-1#idle"})
		silent := dial(t, b, Identity{Insecure: true}) // never sends CONNECT
		_ = silent
		d.publish(jobs+"start-next", "", 5)
		<-entered
		closed := make(chan error)
		go func() { closed <- b.Close(context.Background()) }()
		if version == 5 {
			idle.disconnected(0x8B)
		} else {
			idle.closed()
		}
		d.quiet()
		close(commit)
		d.puback(5)
		d.reply(jobs + "start-next/accepted")
		if version == 5 {
			d.disconnected(0x8B)
		} else {
			d.closed()
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		late, ours := newPipe(t)
		b.ServeConn(ours, Identity{Insecure: true})
		if _, err := late.Read(make([]byte, 1)); err == nil {
			t.Error("a closed broker took a connection")
		}
	})
}

// Conformance check 17: a reply to a connection that is gone reaches nobody, the
// same session included.
func TestReplyToNobody(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		entered, commit := make(chan struct{}), make(chan struct{})
		e := &fakeEngine{start: func(*jobsvc.StartNextPendingJobExecutionRequest) (*jobsvc.DeviceExecution, error) {
			close(entered)
			<-commit
			return &jobsvc.DeviceExecution{Time: time.Now()}, nil
		}}
		b := startBroker(t, e, nil)
		id := e.certificate("c1", "pump-1")
		o := connectOptions{id: "pump-1", keep: true, properties: []byte{0x11, 0, 0, 0, 60}}
		d := newDevice(t, dial(t, b, id), version)
		d.connect(o)
		d.subscribe(1, jobs+"#")
		d.publish(jobs+"start-next", "", 1)
		<-entered
		d.conn.Close()
		go func() {
			<-time.After(time.Second)
			close(commit)
		}()
		d = newDevice(t, dial(t, b, id), version)
		if present, code := d.connect(o); !present || code != 0 { // waits for the old one
			t.Fatalf("present %v, CONNACK %#x", present, code)
		}
		d.quiet()
	})
}
