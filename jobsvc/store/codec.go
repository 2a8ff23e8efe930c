package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Records on the path of every device request or of every thing of a rollout (queues,
// ended executions, things, memberships) have a binary form; all others are JSON. A
// binary record begins with its form's version.
const (
	codecVersion = 1
	codecTyped   = 2 // of a thing with a type
)

// encoder appends varints and length-prefixed strings.
type encoder []byte

func (e *encoder) uint(v uint64)    { *e = binary.AppendUvarint(*e, v) }
func (e *encoder) int(v int64)      { *e = binary.AppendVarint(*e, v) }
func (e *encoder) time(t time.Time) { e.int(nanos(t)) }
func (e *encoder) string(s string)  { e.uint(uint64(len(s))); *e = append(*e, s...) }

// decoder reads what an encoder wrote, and nothing else: whatever it accepts would be
// encoded to the same bytes. The first mistake stays in err.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("store: record is damaged, %d bytes before its end", len(d.b))
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 { // a number has one form, the shortest
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	b := d.b[0]
	d.b = d.b[1:]
	return b
}

func (d *decoder) time() time.Time { return fromNanos(d.int()) }

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	// The string looks at the record's own memory: what a store hands out is never
	// changed, and a queue has many strings of which a request looks at few.
	s := unsafe.String(unsafe.SliceData(d.b), n)
	d.b = d.b[n:]
	return s
}

// count reads a number of elements, each of which takes at least size bytes.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

// end is where the record must end.
func (d *decoder) end() error {
	if len(d.b) > 0 {
		d.fail()
	}
	return d.err
}

const (
	flagForceCanceled = 1 << iota
	flagUncovered
	flagHiddenUntil // the time follows the others
	flagQueuedUntil // after that
	knownFlags      = 1<<iota - 1
)

// The bytes of elements with nothing in them.
const (
	minExecution = 14
	minNotice    = 6
	minDetail    = 2
)

// details writes a map in the order of its keys: equal maps have equal bytes.
func (e *encoder) details(m map[string]string) {
	e.uint(uint64(len(m)))
	switch len(m) {
	case 0:
	case 1:
		for k, v := range m {
			e.string(k)
			e.string(v)
		}
	default:
		keys := make([]string, 0, jobsvc.MaxStatusDetails)
		for k := range m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			e.string(k)
			e.string(m[k])
		}
	}
}

// details gives nil for an empty map.
func (d *decoder) details() map[string]string {
	n := d.count(minDetail)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	last := ""
	for i := range n {
		k := d.string()
		if i > 0 && k <= last {
			d.fail()
		}
		last = k
		m[k] = d.string()
	}
	return m
}

func (e *encoder) execution(x *jobsvc.JobExecution) {
	*e = append(*e, statusByte(x.Status))
	var flags uint64
	if x.ForceCanceled {
		flags |= flagForceCanceled
	}
	if x.Uncovered {
		flags |= flagUncovered
	}
	if !x.HiddenUntil.IsZero() {
		flags |= flagHiddenUntil
	}
	if !x.QueuedUntil.IsZero() {
		flags |= flagQueuedUntil
	}
	e.uint(flags)
	e.string(x.ThingID)
	e.string(x.JobID)
	e.string(x.NamespaceID)
	e.int(x.ExecutionNumber)
	e.uint(uint64(x.RetryAttempt))
	if x.RetryAttempt > 0 {
		e.uint(uint64(x.TimedOutRetries))
	}
	e.int(x.VersionNumber)
	e.time(x.QueuedAt)
	e.time(x.StartedAt)
	e.time(x.LastUpdatedAt)
	e.time(x.InProgressDeadline)
	e.time(x.StepDeadline)
	if flags&flagHiddenUntil != 0 {
		e.time(x.HiddenUntil)
	}
	if flags&flagQueuedUntil != 0 {
		e.time(x.QueuedUntil)
	}
	e.details(x.StatusDetails)
}

func (d *decoder) execution(thing string) jobsvc.JobExecution {
	x := d.executionHead(thing)
	x.StatusDetails = d.details()
	return x
}

// executionHead reads all of an execution but its details.
func (d *decoder) executionHead(thing string) jobsvc.JobExecution {
	var x jobsvc.JobExecution
	x.ThingName = thing
	status, ok := statusOf(d.byte())
	if !ok {
		d.fail()
		return x
	}
	x.Status = status
	flags := d.uint()
	if flags&^knownFlags != 0 {
		d.fail()
	}
	x.ForceCanceled = flags&flagForceCanceled != 0
	x.Uncovered = flags&flagUncovered != 0
	x.ThingID = d.string()
	x.JobID = d.string()
	x.NamespaceID = d.string()
	x.ExecutionNumber = d.int()
	if x.RetryAttempt = int(d.uint()); x.RetryAttempt > 0 {
		x.TimedOutRetries = int(d.uint())
	}
	x.VersionNumber = d.int()
	x.QueuedAt = d.time()
	x.StartedAt = d.time()
	x.LastUpdatedAt = d.time()
	x.InProgressDeadline = d.time()
	x.StepDeadline = d.time()
	if flags&flagHiddenUntil != 0 {
		x.HiddenUntil = d.time()
	}
	if flags&flagQueuedUntil != 0 {
		x.QueuedUntil = d.time()
	}
	return x
}

func encodeExecution(x *jobsvc.JobExecution) []byte {
	e := make(encoder, 1, 192)
	e[0] = codecVersion
	e.execution(x)
	return e
}

func decodeExecution(thing string, b []byte) (*jobsvc.JobExecution, error) {
	d := decoder{b: b}
	if v := d.byte(); v != codecVersion {
		return nil, fmt.Errorf("store: execution record of version %d", v)
	}
	x := d.execution(thing)
	return &x, d.end()
}

func encodeQueue(q *jobsvc.Queue) []byte {
	e := make(encoder, 1, 64+192*len(q.Pending))
	e[0] = codecVersion
	e.uint(uint64(len(q.Notices)))
	for i := range q.Notices {
		n := &q.Notices[i]
		e.string(n.NamespaceID)
		e.uint(n.SetVersion)
		e.uint(n.HeadVersion)
		e.uint(n.SetHash)
		e.string(n.HeadJobID)
		e.int(n.HeadNumber)
	}
	e.uint(uint64(len(q.Pending)))
	for i := range q.Pending {
		e.execution(&q.Pending[i])
	}
	return e
}

func decodeQueue(thing string, b []byte) (*jobsvc.Queue, error) {
	d := decoder{b: b}
	if v := d.byte(); v != codecVersion {
		return nil, fmt.Errorf("store: queue record of version %d", v)
	}
	q := &jobsvc.Queue{}
	if n := d.count(minNotice); n > 0 {
		q.Notices = make([]jobsvc.QueueNotice, n)
		for i := range q.Notices {
			q.Notices[i] = jobsvc.QueueNotice{
				NamespaceID: d.string(),
				SetVersion:  d.uint(),
				HeadVersion: d.uint(),
				SetHash:     d.uint(),
				HeadJobID:   d.string(),
				HeadNumber:  d.int(),
			}
		}
	}
	if n := d.count(minExecution); n > 0 {
		q.Pending = make([]jobsvc.JobExecution, n, n+1)
		for i := range q.Pending {
			q.Pending[i] = d.execution(thing)
		}
	}
	return q, d.end()
}

func encodeThing(t *jobsvc.Thing) []byte {
	e := make(encoder, 1, 128)
	e[0] = codecVersion
	if t.TypeName != "" {
		e[0] = codecTyped
	}
	e.string(t.Name)
	e.string(t.ID)
	e.int(t.Version)
	e.time(t.CreatedAt)
	e.details(t.Attributes)
	if t.TypeName != "" {
		e.string(t.TypeName)
	}
	return e
}

// decodeThing gives nil for a record that does not exist.
func decodeThing(b []byte) (*jobsvc.Thing, error) {
	if b == nil {
		return nil, nil
	}
	d := decoder{b: b}
	v := d.byte()
	if v != codecVersion && v != codecTyped {
		return nil, fmt.Errorf("store: thing record of version %d", v)
	}
	t := &jobsvc.Thing{Name: d.string(), ID: d.string(), Version: d.int(), CreatedAt: d.time(), Attributes: d.details()}
	if v == codecTyped {
		if t.TypeName = d.string(); t.TypeName == "" {
			d.fail()
		}
	}
	return t, d.end()
}

func encodeMembership(m *Membership) []byte {
	e := make(encoder, 1, 96)
	e[0] = codecVersion
	e.string(m.ThingID)
	e.string(m.GroupID)
	e.time(m.JoinedAt)
	return e
}

func decodeMembership(b []byte) (*Membership, error) {
	d := decoder{b: b}
	if v := d.byte(); v != codecVersion {
		return nil, fmt.Errorf("store: membership record of version %d", v)
	}
	m := &Membership{ThingID: d.string(), GroupID: d.string(), JoinedAt: d.time()}
	return m, d.end()
}

// encodeJSON is the form of every other record. The types are the domain's own: a
// golden test notices when a renamed field would change what is on disk.
func encodeJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: encode %T: %v", v, err)) // the types are fixed: a bug
	}
	return b
}

func decodeJSON[T any](b []byte) (*T, error) {
	if b == nil {
		return nil, nil
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("store: decode %T: %w", v, err)
	}
	return v, nil
}
