package store

import (
	"bytes"
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Version is the layout's version, kept under tagMeta. A store of another version
// is not opened.
const Version = 2

// The tags.
const (
	tagThing          = 'g' // thing → Thing                                        scope thing
	tagQueue          = 'q' // thing → Queue                                        scope thing
	tagEnded          = 'h' // thing, job, number → JobExecution, or its mark       scope thing
	tagMember         = 'm' // thing, group → Membership                            scope thing
	tagGroupThing     = 'M' // group, thing → Membership                            scope thing
	tagLeft           = 'n' // leftAt, thing, group → –                             scope thing
	tagGroupLeft      = 'N' // group, thing, leftAt → Membership that ended         scope thing
	tagPrincipal      = 'a' // thing, certificate → Attachment                      scope thing
	tagCertThing      = 'A' // certificate, thing → Attachment                      scope thing
	tagExecution      = 'x' // job, status, queuedAt, thing, number → –             scope thing
	tagTimer          = 'w' // bucket, due, kind, scope kind, thing or job, job → guard   scope thing or job
	tagCounter        = 'c' // job, status → counter                                scope job
	tagJobCount       = 'C' // class → counter                                      scope sys jobs
	tagJob            = 'j' // job → Job                                            scope job
	tagDocument       = 'd' // job → document                                       scope job
	tagRollout        = 'r' // job → Rollout                                        scope job
	tagJobByTime      = 'l' // createdAt descending, job → –                        scope job
	tagGroup          = 'G' // group → ThingGroup                                   scope sys group/
	tagGroupChild     = 'u' // parent, child → –                                    scope sys group/child
	tagChildGone      = 'v' // parent, child, deletedAt → createdAt                 scope sys group/child
	tagCert           = 'k' // certificate → Certificate                            scope sys cert/
	tagCertOfCA       = 'B' // CA, certificate → –                                    scope sys cert/
	tagCA             = 'f' // CA → CACertificate                                          scope sys cacert/
	tagNewest         = 'E' // kind, createdAt descending, name → –                    scope of the kind
	tagOldest         = 'e' // kind, createdAt, name → –                               scope of the kind
	tagPolicyVersion  = 'V' // policy, number → PolicyVersion                    scope sys policy/
	tagPolicyTarget   = 'P' // policy, target → –                                scope sys policy/
	tagPolicy         = 'p' // policy → Policy                                      scope sys policy/
	tagAttached       = 'b' // target, policy → –                                   scope sys policy/
	tagAccessKey      = 'o' // access key → AccessKey                               scope sys key/
	tagType           = 'y' // thing type → ThingType                               scope sys thingtype/
	tagTypeThing      = 'Y' // thing type, thing → –                                scope thing
	tagTemplate       = 'z' // template → JobTemplate                          scope sys jobtemplate/
	tagTemplateDoc    = 'i' // template → document                             scope sys jobtemplate/
	tagTemplateByTime = 'Z' // createdAt descending, template → –              scope sys jobtemplate/
	tagTags           = 't' // kind, name → []Tag                                   scope of the resource
	tagTargetJobs     = 'J' // kind, thing or group → jobs that follow it         scope sys target/
	tagEvent          = 'O' // stamp, scope kind, thing or job → Event             scope thing or job
	tagSession        = 'S' // client ID → Session                                   scope sys session/
	tagMeta           = 's' // name → installation-wide settings                    scope sys meta/
)

// key builds keys.
type key []byte

func newKey(tag byte, names ...string) key {
	n := 1
	for _, s := range names {
		n += len(s) + 1
	}
	k := make(key, 1, n+24)
	k[0] = tag
	for _, s := range names {
		k = k.name(s)
	}
	return k
}

func (k key) name(s string) key      { return append(append(k, s...), 0) }
func (k key) byte(b byte) key        { return append(k, b) }
func (k key) uint(v uint64) key      { return binary.BigEndian.AppendUint64(k, v) }
func (k key) time(t time.Time) key   { return k.uint(uint64(nanos(t))) }
func (k key) newest(t time.Time) key { return k.uint(^uint64(nanos(t))) }

// cursor takes a key apart.
type cursor struct {
	b  []byte
	ok bool
}

func parse(k []byte) cursor { return cursor{k[1:], true} }

// name looks at the key's own memory: keys are not changed once they are a store's, or
// from one.
func (c *cursor) name() string {
	i := bytes.IndexByte(c.b, 0)
	if i < 0 {
		c.b, c.ok = nil, false
		return ""
	}
	s := unsafe.String(unsafe.SliceData(c.b), i)
	c.b = c.b[i+1:]
	return s
}

func (c *cursor) byte() byte {
	if len(c.b) < 1 {
		c.ok = false
		return 0
	}
	b := c.b[0]
	c.b = c.b[1:]
	return b
}

func (c *cursor) uint() uint64 {
	if len(c.b) < 8 {
		c.b, c.ok = nil, false
		return 0
	}
	v := binary.BigEndian.Uint64(c.b)
	c.b = c.b[8:]
	return v
}

func (c *cursor) time() time.Time { return fromNanos(int64(c.uint())) }

// nanos and fromNanos keep the zero time as 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// statusByte orders the statuses of executions in keys. The values are on disk.
func statusByte(s jobsvc.JobExecutionStatus) byte {
	switch s {
	case jobsvc.StatusQueued:
		return 1
	case jobsvc.StatusInProgress:
		return 2
	case jobsvc.StatusSucceeded:
		return 3
	case jobsvc.StatusFailed:
		return 4
	case jobsvc.StatusTimedOut:
		return 5
	case jobsvc.StatusRejected:
		return 6
	case jobsvc.StatusRemoved:
		return 7
	case jobsvc.StatusCanceled:
		return 8
	}
	panic("store: no such status: " + string(s))
}

func statusOf(b byte) (jobsvc.JobExecutionStatus, bool) {
	if s := jobsvc.JobExecutionStatuses(); b >= 1 && int(b) <= len(s) {
		return s[b-1], true
	}
	return "", false
}

// deletedByte stands in the place of a status for executions that were deleted while
// their job goes on.
const deletedByte = 9

func endedKey(thing, job string, number int64) key {
	return newKey(tagEnded, thing, job).uint(uint64(number))
}

func executionKey(job string, s jobsvc.JobExecutionStatus, queuedAt time.Time, thing string, number int64) key {
	return indexKey(job, statusByte(s), queuedAt, thing, number)
}

func indexKey(job string, status byte, queuedAt time.Time, thing string, number int64) key {
	return newKey(tagExecution, job).byte(status).time(queuedAt).name(thing).uint(uint64(number))
}

func counterKey(job string, s jobsvc.JobExecutionStatus) key {
	return newKey(tagCounter, job).byte(statusByte(s))
}

func timerKey(t Timer) key {
	return newKey(tagTimer).byte(t.Kind.bucket()).time(t.Due).byte(byte(t.Kind)).byte(byte(t.Scope.Kind)).name(t.Scope.ID).name(t.JobID)
}

// The timers of jobs and of executions are in ranges of their own: the one must not
// wait behind a crowd of the other.
const (
	bucketJobs       = 0
	bucketExecutions = 1
)

func (k TimerKind) bucket() byte {
	if k == TimerTimeout {
		return bucketExecutions
	}
	return bucketJobs
}

// ScopeOf tells which scope a key of this layout belongs to.
func ScopeOf(k []byte) (kv.Scope, bool) {
	if len(k) < 2 {
		return kv.Scope{}, false
	}
	c := parse(k)
	switch k[0] {
	case tagThing, tagQueue, tagEnded, tagMember, tagPrincipal:
		return kv.Thing(c.name()), c.ok
	case tagLeft:
		c.time()
		return kv.Thing(c.name()), c.ok
	case tagGroupThing, tagCertThing, tagGroupLeft, tagTypeThing:
		c.name()
		return kv.Thing(c.name()), c.ok
	case tagExecution:
		c.name()
		c.byte()
		c.uint()
		return kv.Thing(c.name()), c.ok
	case tagCounter, tagJob, tagDocument, tagRollout:
		return kv.Job(c.name()), c.ok
	case tagJobCount:
		return kv.Sys("jobs"), true
	case tagJobByTime:
		c.uint()
		return kv.Job(c.name()), c.ok
	case tagTimer:
		c.byte()
		c.uint()
		c.byte()
		kind := kv.ScopeKind(c.byte())
		return kv.Scope{Kind: kind, ID: c.name()}, c.ok
	case tagEvent:
		c.uint()
		kind := kv.ScopeKind(c.byte())
		return kv.Scope{Kind: kind, ID: c.name()}, c.ok
	case tagGroup:
		return groupScope(c.name()), c.ok
	case tagGroupChild, tagChildGone:
		c.name()
		return groupScope(c.name()), c.ok
	case tagCert:
		return certScope(c.name()), c.ok
	case tagCertOfCA:
		c.name()
		return certScope(c.name()), c.ok
	case tagCA:
		return caScope(c.name()), c.ok
	case tagNewest, tagOldest:
		kind := c.byte()
		c.uint()
		return byTimeScope(kind, c.name()), c.ok
	case tagPolicyVersion, tagPolicyTarget:
		return policyScope(c.name()), c.ok
	case tagPolicy:
		return policyScope(c.name()), c.ok
	case tagAttached:
		c.name()
		return policyScope(c.name()), c.ok
	case tagAccessKey:
		return accessKeyScope(c.name()), c.ok
	case tagType:
		return typeScope(c.name()), c.ok
	case tagTemplate, tagTemplateDoc:
		return templateScope(c.name()), c.ok
	case tagTemplateByTime:
		c.uint()
		return templateScope(c.name()), c.ok
	case tagTags:
		r := Resource{Kind: c.name(), Name: c.name()}
		return r.Scope(), c.ok
	case tagTargetJobs:
		kind := c.name()
		return targetScope(kind, c.name()), c.ok
	case tagSession:
		return SessionScope(c.name()), c.ok
	case tagMeta:
		return metaScope(c.name()), c.ok
	}
	return kv.Scope{}, false
}

func groupScope(name string) kv.Scope   { return kv.Sys("group/" + name) }
func templateScope(id string) kv.Scope  { return kv.Sys("jobtemplate/" + id) }
func typeScope(name string) kv.Scope    { return kv.Sys("thingtype/" + name) }
func caScope(id string) kv.Scope        { return kv.Sys("cacert/" + id) }
func certScope(id string) kv.Scope      { return kv.Sys("cert/" + id) }
func policyScope(name string) kv.Scope  { return kv.Sys("policy/" + name) }
func accessKeyScope(id string) kv.Scope { return kv.Sys("key/" + id) }
func metaScope(name string) kv.Scope    { return kv.Sys("meta/" + name) }

func targetScope(kind, name string) kv.Scope { return kv.Sys("target/" + kind + "/" + name) }
