package store

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// TestJSONRecords pins what JSON records look like on disk: a field renamed in the
// domain would be lost from every store.
func TestJSONRecords(t *testing.T) {
	pace := jobsvc.RolloutPace{WindowStart: at, Rate: 8, Left: 5, Notified: 6, Increases: 7}
	for _, tc := range []struct {
		v    any
		want string
	}{
		{
			&jobsvc.Job{
				ID: "fw", Status: jobsvc.JobCanceled, TargetSelection: jobsvc.TargetSnapshot, Targets: []string{"arn:x"},
				Description: "d", DocumentSource: "https://s", NamespaceID: "ns",
				PresignedURLConfig: &jobsvc.PresignedURLConfig{RoleARN: "arn:r", Expires: time.Minute},
				TimeoutConfig:      &jobsvc.TimeoutConfig{InProgress: time.Hour},
				RolloutConfig: &jobsvc.RolloutConfig{MaximumPerMinute: 50, ExponentialRate: &jobsvc.ExponentialRate{
					BaseRatePerMinute: 20, IncrementFactor: 15, RateIncreaseCriteria: jobsvc.RateIncreaseCriteria{NumberOfNotifiedThings: 3, NumberOfSucceededThings: 4},
				}},
				AbortConfig: &jobsvc.AbortConfig{CriteriaList: []jobsvc.AbortCriterion{{FailureType: jobsvc.FailureAll, Action: "CANCEL", ThresholdPercentage: 1250, MinNumberOfExecutedThings: 40}}},
				RetryConfig: &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: jobsvc.FailureFailed, NumberOfRetries: 2}}},
				SchedulingConfig: &jobsvc.SchedulingConfig{
					StartTime: "s", EndTime: "e", EndBehavior: jobsvc.EndCancel, MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "w", DurationInMinutes: 5}}, TimeZone: "z",
				},
				JobTemplateARN: "arn:t", DocumentParameters: map[string]string{"k": "v"}, DestinationPackageVersions: []string{"arn:p"},
				ForceCanceled: true, ReasonCode: "R", Comment: "c",
				CreatedAt: at, LastUpdatedAt: at, CompletedAt: at, StartsAt: at, StartedAt: at, OpenedAt: at, Concurrent: true, RolloutDone: true,
				Pace: pace, Stopped: true, Retired: true, ClosesAt: at, EndsAt: at, WindowSweepAt: at,
			},
			`{"ID":"fw","Status":"CANCELED","TargetSelection":"SNAPSHOT","Targets":["arn:x"],"Description":"d","DocumentSource":"https://s","NamespaceID":"ns","PresignedURLConfig":{"RoleARN":"arn:r","Expires":60000000000},"TimeoutConfig":{"InProgress":3600000000000},"RolloutConfig":{"MaximumPerMinute":50,"ExponentialRate":{"BaseRatePerMinute":20,"IncrementFactor":15,"RateIncreaseCriteria":{"NumberOfNotifiedThings":3,"NumberOfSucceededThings":4}}},"AbortConfig":{"CriteriaList":[{"FailureType":"ALL","Action":"CANCEL","ThresholdPercentage":1250,"MinNumberOfExecutedThings":40}]},"RetryConfig":{"CriteriaList":[{"FailureType":"FAILED","NumberOfRetries":2}]},"SchedulingConfig":{"StartTime":"s","EndTime":"e","EndBehavior":"CANCEL","MaintenanceWindows":[{"StartTime":"w","DurationInMinutes":5}],"TimeZone":"z"},"JobTemplateARN":"arn:t","DocumentParameters":{"k":"v"},"DestinationPackageVersions":["arn:p"],"ForceCanceled":true,"ReasonCode":"R","Comment":"c","CreatedAt":"1972-04-20T13:17:39.790382856Z","LastUpdatedAt":"1972-04-20T13:17:39.790382856Z","CompletedAt":"1972-04-20T13:17:39.790382856Z","StartsAt":"1972-04-20T13:17:39.790382856Z","StartedAt":"1972-04-20T13:17:39.790382856Z","OpenedAt":"1972-04-20T13:17:39.790382856Z","ClosesAt":"1972-04-20T13:17:39.790382856Z","EndsAt":"1972-04-20T13:17:39.790382856Z","WindowSweepAt":"1972-04-20T13:17:39.790382856Z","Concurrent":true,"RolloutDone":true,"Retired":true,"Pace":{"WindowStart":"1972-04-20T13:17:39.790382856Z","Rate":8,"Left":5,"Notified":6,"Increases":7},"Stopped":true}`,
		},
		{
			&jobsvc.ThingGroup{Name: "north", ID: "id", Parent: "all", Description: "d", Attributes: map[string]string{"k": "v"}, Version: 3, CreatedAt: at, Dynamic: &jobsvc.DynamicGroup{QueryString: "*", Status: jobsvc.DynamicGroupBuilding, Build: 2, Registered: true, After: "a"}},
			`{"Name":"north","ID":"id","Parent":"all","Description":"d","Attributes":{"k":"v"},"Version":3,"CreatedAt":"1972-04-20T13:17:39.790382856Z","Dynamic":{"QueryString":"*","Status":"BUILDING","Build":2,"Registered":true,"After":"a"}}`,
		},
		{&DynamicGroups{Version: 2, Names: []string{"north"}}, `{"Version":2,"Names":["north"]}`},
		{
			&jobsvc.Certificate{ID: "c0", PEM: "pem", Status: jobsvc.CertificateActive, Mode: jobsvc.ModeSNIOnly, CAID: "ca", GenerationID: "gen", NotBefore: at, NotAfter: at, CreatedAt: at, UpdatedAt: at, Version: 2},
			`{"ID":"c0","PEM":"pem","Status":"ACTIVE","Mode":"SNI_ONLY","CAID":"ca","GenerationID":"gen","NotBefore":"1972-04-20T13:17:39.790382856Z","NotAfter":"1972-04-20T13:17:39.790382856Z","CreatedAt":"1972-04-20T13:17:39.790382856Z","UpdatedAt":"1972-04-20T13:17:39.790382856Z","Version":2}`,
		},
		{
			&jobsvc.Policy{Name: "p", DefaultVersion: 1, LastVersion: 3, GenerationID: "gen", CreatedAt: at, UpdatedAt: at},
			`{"Name":"p","DefaultVersion":1,"LastVersion":3,"GenerationID":"gen","CreatedAt":"1972-04-20T13:17:39.790382856Z","UpdatedAt":"1972-04-20T13:17:39.790382856Z"}`,
		},
		{
			&jobsvc.AccessKey{ID: "AKIA", Secret: "s", Role: jobsvc.RoleAdmin, Name: "ann", CreatedAt: at},
			`{"ID":"AKIA","Secret":"s","Role":"admin","Name":"ann","CreatedAt":"1972-04-20T13:17:39.790382856Z"}`,
		},
		{
			&Rollout{
				Sources: []RolloutSource{{ARN: "arn:t"}, {ARN: "arn:g", AsOf: at, Joined: true, Done: "x", Ended: true}},
				Source:  1, Done: "a", Claimed: "b", ClaimedAt: at, ChargedAt: at, Steps: 4, Again: true,
				RolloutPace: pace, Due: at,
			},
			`{"Sources":[{"ARN":"arn:t"},{"ARN":"arn:g","AsOf":"1972-04-20T13:17:39.790382856Z","Joined":true,"Done":"x","Ended":true}],"Source":1,"Done":"a","Claimed":"b","ClaimedAt":"1972-04-20T13:17:39.790382856Z","ChargedAt":"1972-04-20T13:17:39.790382856Z","Steps":4,"Again":true,"WindowStart":"1972-04-20T13:17:39.790382856Z","Rate":8,"Left":5,"Notified":6,"Increases":7,"Due":"1972-04-20T13:17:39.790382856Z"}`,
		},
		{
			&jobsvc.Session{
				ClientID: "pump#2", CertificateID: "c0", AccessKeyID: "AKIA", ByPolicy: true, Owner: []string{"pump"}, Operator: true, MQTTVersion: 5, Expiry: time.Hour,
				CreatedAt: at, ConnectedAt: at, DisconnectedAt: at, Subscriptions: []jobsvc.SessionSubscription{{Filter: "$aws/things/pump/jobs/#", QoS: 1}},
				Things: []jobsvc.SessionThing{{Name: "pump", ID: "id", Queues: []jobsvc.SessionQueue{
					{NamespaceID: "ns", SetVersion: 1, HeadVersion: 2, Sent: []jobsvc.SessionSent{{PacketID: 0x8000, Next: true, Version: 3}}},
				}}},
			},
			`{"ClientID":"pump#2","CertificateID":"c0","AccessKeyID":"AKIA","ByPolicy":true,"Owner":["pump"],"Operator":true,"MQTTVersion":5,"Expiry":3600000000000,"CreatedAt":"1972-04-20T13:17:39.790382856Z","ConnectedAt":"1972-04-20T13:17:39.790382856Z","DisconnectedAt":"1972-04-20T13:17:39.790382856Z","Subscriptions":[{"Filter":"$aws/things/pump/jobs/#","QoS":1}],"Things":[{"Name":"pump","ID":"id","Queues":[{"NamespaceID":"ns","SetVersion":1,"HeadVersion":2,"Sent":[{"PacketID":32768,"Next":true,"Version":3}]}]}]}`,
		},
		{&jobsvc.Tag{Key: "k", Value: "v"}, `{"Key":"k","Value":"v"}`},
		{&Attachment{ThingID: "t", AttachedAt: at, Exclusive: true}, `{"ThingID":"t","AttachedAt":"1972-04-20T13:17:39.790382856Z","Exclusive":true}`},
	} {
		full(t, reflect.ValueOf(tc.v).Elem())
		got := encodeJSON(tc.v)
		if string(got) != tc.want {
			t.Errorf("%T is\n%s\non disk it is\n%s", tc.v, got, tc.want)
		}
	}
	// And read again it is what it was, the zero time included.
	job := &jobsvc.Job{ID: "fw", CreatedAt: at}
	back, err := decodeJSON[jobsvc.Job](encodeJSON(job))
	if err != nil || !reflect.DeepEqual(back, job) {
		t.Errorf("read again: %+v, %v", back, err)
	}
	if v, err := decodeJSON[jobsvc.Job](nil); v != nil || err != nil {
		t.Errorf("a record that is not there: %v, %v", v, err)
	}
	if _, err := decodeJSON[jobsvc.Job]([]byte(`{"ID":`)); err == nil {
		t.Error("a damaged record is read")
	}
}

// full fails when a field of a record in the table has nothing in it: one added to the
// domain belongs there too.
func full(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the golden %s has no %s", v.Type(), v.Type().Field(i).Name)
		}
	}
}

// fullExecution has something in every field.
func fullExecution() jobsvc.JobExecution {
	return jobsvc.JobExecution{
		ThingName: "pump", ThingID: "tid", JobID: "fw", NamespaceID: "ns", ExecutionNumber: 2, RetryAttempt: 1, TimedOutRetries: 1, Uncovered: true,
		Status: jobsvc.StatusCanceled, StatusDetails: map[string]string{"b": "2", "a": "1"}, ForceCanceled: true, VersionNumber: 7,
		QueuedAt: at, StartedAt: at.Add(1), LastUpdatedAt: at.Add(2), InProgressDeadline: at.Add(3), StepDeadline: at.Add(4),
		HiddenUntil: at.Add(5), QueuedUntil: at.Add(6),
	}
}

func fullQueue() *jobsvc.Queue {
	x := fullExecution()
	x.Status = jobsvc.StatusInProgress
	return &jobsvc.Queue{
		Notices: []jobsvc.QueueNotice{
			{NamespaceID: "ns", SetVersion: 1, HeadVersion: 300, SetHash: math.MaxUint64, HeadJobID: "fw", HeadNumber: 2},
			{SetVersion: 2},
		},
		Pending: []jobsvc.JobExecution{x, {ThingName: "pump", JobID: "b", Status: jobsvc.StatusQueued, ExecutionNumber: math.MaxInt64}},
	}
}

func TestBinaryRecords(t *testing.T) {
	x := fullExecution()
	full(t, reflect.ValueOf(x))
	b := encodeExecution(&x)
	const wantExecution = "01" + // version
		"08" + "0f" + "03746964" + "026677" + "026e73" + "04" + "01" + "01" + "0e" +
		"909cb0d080c1818202" + "929cb0d080c1818202" + "949cb0d080c1818202" + "969cb0d080c1818202" + "989cb0d080c1818202" + "9a9cb0d080c1818202" + "9c9cb0d080c1818202" +
		"02" + "0161" + "0131" + "0162" + "0132"
	if got := hex.EncodeToString(b); got != wantExecution {
		t.Errorf("an execution is\n%s\non disk it is\n%s", got, wantExecution)
	}
	back, err := decodeExecution("pump", b)
	if err != nil || !reflect.DeepEqual(*back, x) {
		t.Errorf("read again: %+v, %v", back, err)
	}
	q := fullQueue()
	full(t, reflect.ValueOf(q.Notices[0]))
	qb := encodeQueue(q)
	const wantQueue = "01" + "02" +
		"026e73" + "01" + "ac02" + "ffffffffffffffffff01" + "026677" + "04" +
		"00" + "02" + "00" + "00" + "00" + "00" +
		"02" +
		"02" + "0f" + "03746964" + "026677" + "026e73" + "04" + "01" + "01" + "0e" +
		"909cb0d080c1818202" + "929cb0d080c1818202" + "949cb0d080c1818202" + "969cb0d080c1818202" + "989cb0d080c1818202" + "9a9cb0d080c1818202" + "9c9cb0d080c1818202" +
		"02" + "0161" + "0131" + "0162" + "0132" +
		"01" + "00" + "00" + "0162" + "00" + "feffffffffffffffff01" + "00" + "00" + "00" + "00" + "00" + "00" + "00" + "00"
	if got := hex.EncodeToString(qb); got != wantQueue {
		t.Errorf("a queue is\n%s\non disk it is\n%s", got, wantQueue)
	}
	backQ, err := decodeQueue("pump", qb)
	if err != nil || !reflect.DeepEqual(backQ, q) {
		t.Errorf("read again: %+v, %v", backQ, err)
	}
	// Every record cut short, and every version there is not, is refused.
	for i := range b {
		if _, err := decodeExecution("pump", b[:i]); err == nil {
			t.Errorf("the first %d bytes of an execution are read", i)
		}
	}
	for i := range qb {
		if _, err := decodeQueue("pump", qb[:i]); err == nil {
			t.Errorf("the first %d bytes of a queue are read", i)
		}
	}
	b[0], qb[0] = 2, 2
	if _, err := decodeExecution("pump", b); err == nil {
		t.Error("an execution of version 2 is read")
	}
	if _, err := decodeQueue("pump", qb); err == nil {
		t.Error("a queue of version 2 is read")
	}
	// The empty ones.
	if q, err := decodeQueue("pump", encodeQueue(&jobsvc.Queue{})); err != nil || q.Pending != nil || q.Notices != nil {
		t.Errorf("an empty queue: %+v, %v", q, err)
	}
	empty := jobsvc.JobExecution{ThingName: "pump", Status: jobsvc.StatusQueued}
	if x, err := decodeExecution("pump", encodeExecution(&empty)); err != nil || !reflect.DeepEqual(*x, empty) {
		t.Errorf("an empty execution: %+v, %v", x, err)
	}
}

// TestEncodingIsStable: equal executions have equal bytes, whatever the order of a map.
func TestEncodingIsStable(t *testing.T) {
	x := fullExecution()
	x.StatusDetails = map[string]string{}
	for _, k := range strings.Split("a b c d e f g h i j", " ") {
		x.StatusDetails[k] = k
	}
	first := encodeExecution(&x)
	for range 20 {
		if !bytes.Equal(first, encodeExecution(&x)) {
			t.Fatal("two encodings of one execution differ")
		}
	}
}

// FuzzExecution: no bytes make the decoder panic, and what it reads it would write the
// same way.
func FuzzExecution(f *testing.F) {
	x := fullExecution()
	f.Add(encodeExecution(&x))
	f.Add(encodeExecution(&jobsvc.JobExecution{Status: jobsvc.StatusQueued}))
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeExecution("pump", b)
		if err != nil {
			return
		}
		if again := encodeExecution(x); !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
	})
}

// FuzzQueue is FuzzExecution for queues.
func FuzzQueue(f *testing.F) {
	f.Add(encodeQueue(fullQueue()))
	f.Add(encodeQueue(&jobsvc.Queue{}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := decodeQueue("pump", b)
		if err != nil {
			return
		}
		if again := encodeQueue(q); !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
	})
}

// FuzzScopeOf: no key makes it panic.
func FuzzScopeOf(f *testing.F) {
	for _, tc := range goldenKeys {
		f.Add([]byte(tc.key))
	}
	f.Fuzz(func(t *testing.T, k []byte) { ScopeOf(k) })
}

// TestBinaryGolden pins the bytes of the small binary records.
func TestBinaryGolden(t *testing.T) {
	at := time.Unix(0, 1000).UTC()
	thing := &jobsvc.Thing{Name: "pump", ID: "id", Attributes: map[string]string{"b": "2", "a": "1"}, Version: 3, CreatedAt: at}
	if got, want := string(encodeThing(thing)), "\x01\x04pump\x02id\x06\xd0\x0f\x02\x01a\x011\x01b\x012"; got != want {
		t.Errorf("a thing is\n%q\non disk it is\n%q", got, want)
	}
	if back, err := decodeThing(encodeThing(thing)); err != nil || !reflect.DeepEqual(back, thing) {
		t.Errorf("read again: %+v, %v", back, err)
	}
	if back, err := decodeThing(nil); back != nil || err != nil {
		t.Errorf("no thing: %+v, %v", back, err)
	}
	member := &Membership{ThingID: "t", GroupID: "g", JoinedAt: at}
	if got, want := string(encodeMembership(member)), "\x01\x01t\x01g\xd0\x0f"; got != want {
		t.Errorf("a membership is\n%q\non disk it is\n%q", got, want)
	}
	if back, err := decodeMembership(encodeMembership(member)); err != nil || !reflect.DeepEqual(back, member) {
		t.Errorf("read again: %+v, %v", back, err)
	}
	for _, b := range [][]byte{{}, {2}, encodeThing(thing)[:9], append(encodeThing(thing), 0)} {
		if _, err := decodeThing(b); err == nil {
			t.Errorf("a damaged thing %q is taken", b)
		}
	}
	if _, err := decodeMembership(nil); err == nil {
		t.Error("no membership is taken for one")
	}
}
