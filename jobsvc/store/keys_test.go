package store

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// at is a time of which every byte in a key is known: 0x0102030405060708 ns.
var at = time.Unix(0, 0x0102030405060708).UTC()

// goldenKeys has a key of every tag. The bytes are what stores on disk have: a change
// here is a new layout and needs a new Version.
var goldenKeys = []struct {
	name  string
	key   key
	want  string // a name as text, a byte as <00>
	scope kv.Scope
}{
	{"thing", newKey(tagThing, "pump-17"), "gpump-17<00>", kv.Thing("pump-17")},
	{"queue", newKey(tagQueue, "pump-17"), "qpump-17<00>", kv.Thing("pump-17")},
	{"ended", endedKey("pump-17", "fw", 258), "hpump-17<00>fw<00><0000000000000102>", kv.Thing("pump-17")},
	{"member", newKey(tagMember, "pump-17", "north"), "mpump-17<00>north<00>", kv.Thing("pump-17")},
	{"group's thing", newKey(tagGroupThing, "north", "pump-17"), "Mnorth<00>pump-17<00>", kv.Thing("pump-17")},
	{"principal", newKey(tagPrincipal, "pump-17", "c0ffee"), "apump-17<00>c0ffee<00>", kv.Thing("pump-17")},
	{"certificate's thing", newKey(tagCertThing, "c0ffee", "pump-17"), "Ac0ffee<00>pump-17<00>", kv.Thing("pump-17")},
	{"execution", executionKey("fw", jobsvc.StatusSucceeded, at, "pump-17", 258), "xfw<00><03><0102030405060708>pump-17<00><0000000000000102>", kv.Thing("pump-17")},
	{"deleted execution", indexKey("fw", deletedByte, at, "pump-17", 258), "xfw<00><09><0102030405060708>pump-17<00><0000000000000102>", kv.Thing("pump-17")},
	{"start of a job", timerKey(JobTimer(TimerStart, "fw", at)), "w<00><0102030405060708>sjfw<00>fw<00>", kv.Job("fw")},
	{"tags of a job", Resource{jobsvc.ARNJob, "fw"}.tagsKey(), "tjob<00>fw<00>", kv.Job("fw")},
	{"tags of a group", Resource{jobsvc.ARNThingGroup, "north"}.tagsKey(), "tthinggroup<00>north<00>", kv.Sys("group/north")},
	{"tags of a policy", Resource{jobsvc.ARNPolicy, "p"}.tagsKey(), "tpolicy<00>p<00>", kv.Sys("policy/p")},
	{"tags of a template", Resource{"jobtemplate", "base"}.tagsKey(), "tjobtemplate<00>base<00>", kv.Sys("jobtemplate/base")},
	{"timer of a job", timerKey(JobTimer(TimerRollout, "fw", at)), "w<00><0102030405060708>rjfw<00>fw<00>", kv.Job("fw")},
	{"timer of an execution", timerKey(Timer{Due: at, Kind: TimerTimeout, Scope: kv.Thing("pump-17"), JobID: "fw", Guard: 9}), "w<01><0102030405060708>ttpump-17<00>fw<00>", kv.Thing("pump-17")},
	{"counter", counterKey("fw", jobsvc.StatusCanceled), "cfw<00><08>", kv.Job("fw")},
	{"job", newKey(tagJob, "fw"), "jfw<00>", kv.Job("fw")},
	{"document", newKey(tagDocument, "fw"), "dfw<00>", kv.Job("fw")},
	{"rollout", newKey(tagRollout, "fw"), "rfw<00>", kv.Job("fw")},
	{"job by time", newKey(tagJobByTime).newest(at).name("fw"), "l<fefdfcfbfaf9f8f7>fw<00>", kv.Job("fw")},
	{"group", newKey(tagGroup, "north"), "Gnorth<00>", kv.Sys("group/north")},
	{"child", newKey(tagGroupChild, "north", "hall-1"), "unorth<00>hall-1<00>", kv.Sys("group/hall-1")},
	{"root group", newKey(tagGroupChild, "", "north"), "u<00>north<00>", kv.Sys("group/north")},
	{"child that is gone", newKey(tagChildGone, "north", "hall-1").time(at), "vnorth<00>hall-1<00><0102030405060708>", kv.Sys("group/hall-1")},
	{"certificate", newKey(tagCert, "c0ffee"), "kc0ffee<00>", kv.Sys("cert/c0ffee")},
	{"certificate of a CA", newKey(tagCertOfCA, "ca", "c0ffee"), "Bca<00>c0ffee<00>", kv.Sys("cert/c0ffee")},
	{"CA", newKey(tagCA, "ca"), "fca<00>", kv.Sys("cacert/ca")},
	{"certificate, newest", newKey(tagNewest).byte(kindCert).newest(at).name("c0ffee"), "Ec<fefdfcfbfaf9f8f7>c0ffee<00>", kv.Sys("cert/c0ffee")},
	{"CA, oldest", newKey(tagOldest).byte(kindCA).time(at).name("ca"), "ea<0102030405060708>ca<00>", kv.Sys("cacert/ca")},
	{"policy, newest", newKey(tagNewest).byte(kindPolicy).newest(at).name("p"), "Ep<fefdfcfbfaf9f8f7>p<00>", kv.Sys("policy/p")},
	{"policy's version", newKey(tagPolicyVersion, "p").uint(258), "Vp<00><0000000000000102>", kv.Sys("policy/p")},
	{"policy's target", newKey(tagPolicyTarget, "p", "arn:x"), "Pp<00>arn:x<00>", kv.Sys("policy/p")},
	{"policy", newKey(tagPolicy, "p"), "pp<00>", kv.Sys("policy/p")},
	{"attached policy", newKey(tagAttached, "arn:x", "p"), "barn:x<00>p<00>", kv.Sys("policy/p")},
	{"access key", newKey(tagAccessKey, "AKIA"), "oAKIA<00>", kv.Sys("key/AKIA")},
	{"left", leftKey(Left{at, "pump-17", "north"}), "n<0102030405060708>pump-17<00>north<00>", kv.Thing("pump-17")},
	{"left a group", groupLeftKey(Left{at, "pump-17", "north"}), "Nnorth<00>pump-17<00><0102030405060708>", kv.Thing("pump-17")},
	{"type", newKey(tagType, "pump"), "ypump<00>", kv.Sys("thingtype/pump")},
	{"type's thing", newKey(tagTypeThing, "pump", "pump-17"), "Ypump<00>pump-17<00>", kv.Thing("pump-17")},
	{"tags", Resource{jobsvc.ARNThingGroup, "north"}.tagsKey(), "tthinggroup<00>north<00>", kv.Sys("group/north")},
	{"tags of a type", Resource{jobsvc.ARNThingType, "pump"}.tagsKey(), "tthingtype<00>pump<00>", kv.Sys("thingtype/pump")},
	{"timer of a group", timerKey(GroupTimer(&jobsvc.ThingGroup{Name: "north", ID: "id", Parent: "root"}, at)), "w<00><0102030405060708>gsgroup/north<00>id/root<00>", kv.Sys("group/north")},
	{"timer of a dynamic group", timerKey(DynamicTimer(&jobsvc.ThingGroup{Name: "hot", ID: "id", Dynamic: &jobsvc.DynamicGroup{Build: 2}}, at)), "w<00><0102030405060708>ysgroup/hot<00>id<00>", kv.Sys("group/hot")},
	{"dynamic groups", newKey(tagMeta, dynamicName), "sdynamicGroups<00>", kv.Sys("meta/dynamicGroups")},
	{"template", newKey(tagTemplate, "ota"), "zota<00>", kv.Sys("jobtemplate/ota")},
	{"template's document", newKey(tagTemplateDoc, "ota"), "iota<00>", kv.Sys("jobtemplate/ota")},
	{"template by time", newKey(tagTemplateByTime).newest(at).name("ota"), "Z<fefdfcfbfaf9f8f7>ota<00>", kv.Sys("jobtemplate/ota")},
	{"tags of a template", Resource{jobsvc.ARNJobTemplate, "ota"}.tagsKey(), "tjobtemplate<00>ota<00>", kv.Sys("jobtemplate/ota")},
	{"count of jobs", newKey(tagJobCount).byte(countDeleting), "C<04>", kv.Sys("jobs")},
	{"jobs of a target", newKey(tagTargetJobs, jobsvc.ARNThingGroup, "north"), "Jthinggroup<00>north<00>", kv.Sys("target/thinggroup/north")},
	{"event of an execution", eventKey(0x0102030405060708, kv.Thing("pump-17")), "O<0102030405060708>tpump-17<00>", kv.Thing("pump-17")},
	{"event of a job", eventKey(0x0102030405060708, kv.Job("fw")), "O<0102030405060708>jfw<00>", kv.Job("fw")},
	{"session", newKey(tagSession, "pump-17#2"), "Spump-17#2<00>", kv.Sys("session/pump-17#2")},
	{"meta", newKey(tagMeta, "version"), "sversion<00>", kv.Sys("meta/version")},
}

// tags are all there are.
var tags = []byte{
	tagThing, tagQueue, tagEnded, tagMember, tagGroupThing, tagPrincipal, tagCertThing, tagExecution, tagTimer,
	tagCounter, tagJob, tagDocument, tagRollout, tagJobByTime, tagGroup, tagGroupChild, tagCert, tagCertOfCA, tagCA, tagNewest, tagOldest, tagPolicyVersion, tagPolicyTarget,
	tagPolicy, tagAttached, tagAccessKey, tagLeft, tagGroupLeft, tagType, tagTypeThing, tagTags, tagChildGone, tagTemplate, tagTemplateDoc, tagTemplateByTime, tagJobCount, tagTargetJobs, tagEvent, tagSession, tagMeta,
}

// golden gives the bytes of a key as the table writes them.
func golden(t *testing.T, s string) []byte {
	t.Helper()
	var b []byte
	for s != "" {
		text, rest, found := strings.Cut(s, "<")
		b = append(b, text...)
		if !found {
			break
		}
		digits, rest, _ := strings.Cut(rest, ">")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		b, s = append(b, raw...), rest
	}
	return b
}

func TestKeys(t *testing.T) {
	var seen []byte
	for _, tc := range goldenKeys {
		if want := golden(t, tc.want); !bytes.Equal(tc.key, want) {
			t.Errorf("%s: key %q, on disk it is %q", tc.name, tc.key, want)
		}
		if s, ok := ScopeOf(tc.key); !ok || s != tc.scope {
			t.Errorf("%s: scope %s (%v), want %s", tc.name, s, ok, tc.scope)
		}
		// What is cut short is in no scope, and never a panic.
		for i := range len(tc.key) {
			if s, ok := ScopeOf(tc.key[:i]); ok && s != tc.scope {
				t.Errorf("%s: its first %d bytes are in scope %s", tc.name, i, s)
			}
		}
		seen = append(seen, tc.key[0])
	}
	for i, tag := range tags {
		if !slices.Contains(seen, tag) {
			t.Errorf("no golden key of tag %q", tag)
		}
		if slices.Contains(tags[:i], tag) {
			t.Errorf("two kinds of keys have the tag %q", tag)
		}
	}
	for _, k := range []string{"", "g", "?x\x00", "\x00\x00", "g\xff", "x\x00"} {
		if s, ok := ScopeOf([]byte(k)); ok {
			t.Errorf("key %q is in scope %s", k, s)
		}
	}
}

// TestStatusBytes: the bytes of statuses are on disk, in keys and in records.
func TestStatusBytes(t *testing.T) {
	for i, s := range jobsvc.JobExecutionStatuses() {
		if b := statusByte(s); int(b) != i+1 {
			t.Errorf("status %s is byte %d, on disk it is %d", s, b, i+1)
		}
		if back, ok := statusOf(byte(i + 1)); !ok || back != s {
			t.Errorf("byte %d is status %s", i+1, back)
		}
	}
	for _, b := range []byte{0, 9, 255} {
		if s, ok := statusOf(b); ok {
			t.Errorf("byte %d is status %s", b, s)
		}
	}
}

// TestKeyOrder: each list is in the order its keys must sort in.
func TestKeyOrder(t *testing.T) {
	later := at.Add(time.Nanosecond)
	muchLater := at.Add(24 * time.Hour)
	exec := func(at time.Time, thing string, n int64) key {
		return executionKey("fw", jobsvc.StatusQueued, at, thing, n)
	}
	timer := func(kind TimerKind, due time.Time, s kv.Scope, job string) key {
		return timerKey(Timer{Due: due, Kind: kind, Scope: s, JobID: job})
	}
	for name, keys := range map[string][]key{
		"executions: by queuedAt, thing, number; a name before what it begins": {
			exec(at, "pump-1", 1), exec(at, "pump-1", 2), exec(at, "pump-1", 256), exec(at, "pump-17", 1), exec(at, "pump-2", 1),
			exec(later, "a", 1), exec(muchLater, "Z", 1), exec(muchLater, "a", 1),
			executionKey("fw", jobsvc.StatusInProgress, at, "a", 1),
			executionKey("fw-2", jobsvc.StatusQueued, at, "a", 1), // another job, whose ID begins with the first one's
		},
		"jobs: newest first": {
			newKey(tagJobByTime).newest(muchLater).name("a"), newKey(tagJobByTime).newest(later).name("z"),
			newKey(tagJobByTime).newest(at).name("fw"), newKey(tagJobByTime).newest(at).name("fw-2"),
		},
		"ended: by job, then number": {
			endedKey("pump-1", "fw", 1), endedKey("pump-1", "fw", 2), endedKey("pump-1", "fw", 1<<33), endedKey("pump-1", "fw-2", 1), endedKey("pump-17", "fw", 1),
		},
		"timers: jobs apart from executions, each by due time": {
			timer(TimerCancel, at, kv.Job("b"), "b"), timer(TimerRollout, at, kv.Job("a"), "a"), timer(TimerRollout, muchLater, kv.Job("a"), "a"),
			timer(TimerTimeout, at, kv.Thing("pump-1"), "fw"), timer(TimerTimeout, at, kv.Thing("pump-17"), "fw"), timer(TimerTimeout, later, kv.Thing("pump-1"), "fw"),
		},
	} {
		if !slices.IsSortedFunc(keys, func(a, b key) int { return bytes.Compare(a, b) }) {
			t.Errorf("%s: not in order:\n%q", name, keys)
		}
	}
	// The keys of a name are no prefix of those of a longer one.
	if bytes.HasPrefix(newKey(tagEnded, "pump-17", "fw"), newKey(tagEnded, "pump-1")) {
		t.Error("a scan of pump-1 would see pump-17")
	}
}
