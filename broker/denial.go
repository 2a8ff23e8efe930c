package broker

import (
	"slices"
	"strings"
	"sync"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// maxDenials bounds how many different refusals are kept for operators.
const maxDenials = 1000

// maxDenialThings bounds how many things of a gateway a refusal lists.
const maxDenialThings = 10

// denialRing keeps the last refusals. One that repeats another is counted there and keeps
// its place.
type denialRing struct {
	mu   sync.Mutex
	list []*jobsvc.Denial // oldest first
	by   map[denialKey]*jobsvc.Denial
}

type denialKey struct{ what, client, certificate, topic, reason string }

func keyOf(d *jobsvc.Denial) denialKey {
	return denialKey{d.What, d.ClientID, d.CertificateID, d.Topic, d.Reason}
}

func (r *denialRing) add(d jobsvc.Denial) {
	d.Things = slices.Clone(d.Things[:min(len(d.Things), maxDenialThings)])
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.by[keyOf(&d)]; old != nil {
		old.Count++
		old.Last, old.Address = d.Last, d.Address
		return
	}
	if r.by == nil {
		r.by = make(map[denialKey]*jobsvc.Denial)
	}
	if len(r.list) == maxDenials {
		delete(r.by, keyOf(r.list[0]))
		r.list = append(r.list[:0:0], r.list[1:]...)
	}
	d.Count, d.First = 1, d.Last
	r.list = append(r.list, &d)
	r.by[keyOf(&d)] = &d
}

// Denials gives the last refusals, at most 1,000 different ones, the one that happened
// last first.
func (b *Broker) Denials() []jobsvc.Denial {
	r := &b.denials.ring
	r.mu.Lock()
	list := make([]jobsvc.Denial, len(r.list))
	for i, d := range r.list {
		list[len(list)-1-i] = *d
	}
	r.mu.Unlock()
	slices.SortStableFunc(list, func(x, y jobsvc.Denial) int { return y.Last.Compare(x.Last) })
	return list
}

// suggest says what was probably meant by a topic or filter that was refused; "" when
// nothing comes to mind. things are those of the connection.
func suggest(topic string, things []string) string {
	if topic == "" || len(things) == 0 {
		return ""
	}
	levels := strings.Split(strings.Trim(topic, "/ "), "/")
	// The place of jobs, or of what was written for it, says where the operation begins.
	at := slices.IndexFunc(levels, func(l string) bool { return near(l, "jobs") })
	if at < 0 {
		if strings.HasPrefix(topic, "$") || len(levels) > 1 && near(levels[0], "aws") {
			return "topics of jobs begin with " + own(things, levels) + "jobs/"
		}
		return ""
	}
	prefix := own(things, levels) + "jobs/"
	rest := levels[at+1:]
	if fixed, ok := nearestOperation(rest); ok {
		return "did you mean " + prefix + fixed + "?"
	}
	return "topics of jobs begin with " + prefix
}

// mistyped tells of a filter that is granted and will never match anything, as far as that
// can be guessed.
func mistyped(filter string, things []string) bool {
	meant, ok := strings.CutPrefix(suggest(filter, things), "did you mean ")
	return ok && meant != filter+"?"
}

// own gives the beginning of the topics of the thing that levels seem to name.
func own(things, levels []string) string {
	thing := things[0]
	for _, t := range things {
		if slices.Contains(levels, t) {
			thing = t
			break
		}
	}
	return "$aws/things/" + thing + "/"
}

// nearestOperation gives what follows jobs/ with its words put right. ok is false when it
// is none of the operations.
func nearestOperation(rest []string) (fixed string, ok bool) {
	words := func(s string, of ...string) string {
		for _, w := range of {
			if near(s, w) {
				return w
			}
		}
		return ""
	}
	const wildcards = "+#"
	word := func(s string, of ...string) string {
		if s != "" && strings.Contains(wildcards, s) {
			return s
		}
		return words(s, of...)
	}
	switch len(rest) {
	case 1:
		// notify-next before notify: the nearer is not always the shorter.
		fixed = word(rest[0], "get", "start-next", "notify-next", "notify")
		return fixed, fixed != ""
	case 2:
		if first := words(rest[0], "start-next", "get"); first != "" && words(rest[1], "accepted", "rejected") != "" {
			return first + "/" + words(rest[1], "accepted", "rejected"), true
		}
		job := rest[0]
		if near(job, jobsvc.NextJobID) || job == "next" {
			job = jobsvc.NextJobID
		}
		verb := word(rest[1], "update", "get")
		return job + "/" + verb, verb != ""
	case 3:
		verb, reply := word(rest[1], "update", "get"), word(rest[2], "accepted", "rejected")
		return rest[0] + "/" + verb + "/" + reply, verb != "" && reply != ""
	}
	return "", false
}

// near tells whether a word is another but for letter case and two slips, one in a short
// word.
func near(got, want string) bool {
	got = strings.ToLower(strings.Trim(got, " "))
	slips := 2
	if len(want) <= 4 {
		slips = 1
	}
	return got == want || len(got)-len(want) <= slips && len(want)-len(got) <= slips && distance(got, want) <= slips
}

// distance is how many letters have to be changed, added or left out. The words are short.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			diagonal := left
			if a[i] != b[j] {
				diagonal++
			}
			left = row[j+1]
			row[j+1] = min(diagonal, row[j]+1, left+1)
		}
	}
	return row[len(b)]
}
