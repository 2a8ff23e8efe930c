package jobsvc

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// Queue holds the pending executions of one Thing, of all namespaces, and what
// was last said about each namespace's queue.
//
// An execution is visible as far as its Job lets it be; callers pass that as a
// function, since jobs are other objects.
type Queue struct {
	Pending []JobExecution
	// Notices has one entry for each namespace that ever had an execution.
	Notices []QueueNotice
}

// QueueNotice counts the changes of one namespace's visible queue, and remembers
// what it looked like at the last one.
type QueueNotice struct {
	NamespaceID string
	SetVersion  uint64 // grows when notify is due
	HeadVersion uint64 // grows when notify-next is due
	SetHash     uint64 // of the (job, executionNumber) pairs; 0 for none
	HeadJobID   string
	HeadNumber  int64
}

// Visible says whether an execution is in its queue.
type Visible func(*JobExecution) bool

// AllVisible takes every pending execution as visible.
func AllVisible(*JobExecution) bool { return true }

// Find gives the pending execution of a job, nil when there is none. At most one
// execution of a job is pending on a thing.
func (q *Queue) Find(jobID string) *JobExecution {
	for i := range q.Pending {
		if q.Pending[i].JobID == jobID {
			return &q.Pending[i]
		}
	}
	return nil
}

// Remove takes an ended or deleted execution out.
func (q *Queue) Remove(jobID string) {
	q.Pending = slices.DeleteFunc(q.Pending, func(e JobExecution) bool { return e.JobID == jobID })
}

// Head is the first execution in queue order, nil when nothing is visible.
func (q *Queue) Head(namespace string, visible Visible) *JobExecution {
	var head *JobExecution
	for i := range q.Pending {
		e := &q.Pending[i]
		if e.NamespaceID == namespace && (head == nil || queueOrder(e, head) < 0) && visible(e) {
			head = e
		}
	}
	return head
}

// List is the visible queue in order.
func (q *Queue) List(namespace string, visible Visible) []*JobExecution {
	var list []*JobExecution
	for i := range q.Pending {
		if e := &q.Pending[i]; e.NamespaceID == namespace && visible(e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, queueOrder)
	return list
}

// queueOrder: IN_PROGRESS first, then the older, then by job ID.
func queueOrder(a, b *JobExecution) int {
	if a.Status != b.Status {
		if a.Status == StatusInProgress {
			return -1
		}
		return 1
	}
	return cmp.Or(a.QueuedAt.Compare(b.QueuedAt), cmp.Compare(a.JobID, b.JobID))
}

// Notice gives the notice of a namespace; the zero one when there is none yet.
func (q *Queue) Notice(namespace string) QueueNotice {
	for _, n := range q.Notices {
		if n.NamespaceID == namespace {
			return n
		}
	}
	return QueueNotice{NamespaceID: namespace}
}

// Refresh compares a namespace's visible queue with its notice, brings the notice
// up to date and tells whether it changed. The rule is that of the service: notify
// is due when the set of (job, executionNumber) pairs changed, notify-next when
// the head did as a pair. A change of status, details or version alone is neither.
func (q *Queue) Refresh(namespace string, visible Visible) bool {
	n := q.Notice(namespace)
	old := n
	var set uint64
	for i := range q.Pending {
		if e := &q.Pending[i]; e.NamespaceID == namespace && visible(e) {
			set += pairHash(e) // a sum: the order does not matter
		}
	}
	if set != n.SetHash {
		n.SetVersion++
		n.SetHash = set
	}
	var job string
	var number int64
	if head := q.Head(namespace, visible); head != nil {
		job, number = head.JobID, head.ExecutionNumber
	}
	if job != n.HeadJobID || number != n.HeadNumber {
		n.HeadVersion++
		n.HeadJobID, n.HeadNumber = job, number
	}
	if n == old {
		return false
	}
	for i := range q.Notices {
		if q.Notices[i].NamespaceID == namespace {
			q.Notices[i] = n
			return true
		}
	}
	q.Notices = append(q.Notices, n)
	return true
}

func pairHash(e *JobExecution) uint64 {
	h := fnv.New64a()
	h.Write([]byte(e.JobID))
	var b [9]byte
	for i := range 8 {
		b[1+i] = byte(e.ExecutionNumber >> (8 * i))
	}
	h.Write(b[:])
	return h.Sum64() | 1
}
