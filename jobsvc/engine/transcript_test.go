package engine_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

var updateTranscripts = flag.Bool("update", false, "write what happens into the transcripts")

// TestTranscripts carries out the commands in testdata/transcripts, the lines with >, and
// expects what is written below each: the reply, then what became of executions and jobs,
// what devices were told, and the events. -update writes it. The model watches.
//
// The language of the commands is described at the type command. Beside them there are
// "timers", which lists them, and "openings fw", which lists when the next windows of a
// job open.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			written, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			happened := newTranscript(t).run(string(written))
			if *updateTranscripts {
				if err := os.WriteFile(file, []byte(happened), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, got := strings.Split(string(written), "\n"), strings.Split(happened, "\n")
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("line %d is\n%s\nwanted\n%s\nall of it (-update writes it):\n%s", i+1, strings.Join(got[i:min(i+3, len(got))], "\n"), want[i], happened)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("there is more than what is written:\n%s", happened)
			}
		})
	}
}

// transcript writes down what happens.
type transcript struct {
	*lockstep
	t       *testing.T
	out     []string
	before  picture
	replies []said         // to the commands of a line
	events  []jobsvc.Event // of the commands of a line
}

// said is a line about somebody: lines that say the same of many are written as one.
type said struct{ who, what string }

func newTranscript(t *testing.T) *transcript {
	tr := &transcript{lockstep: newLockstep(t), t: t}
	tr.lockstep.seen = tr.look
	return tr
}

func (tr *transcript) run(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n ")
		command, ok := strings.CutPrefix(line, "> ")
		if !ok {
			if !strings.HasPrefix(line, "  ") {
				tr.out = append(tr.out, line)
			}
			continue
		}
		tr.out = append(tr.out, line)
		tr.command(command)
	}
	return strings.Join(tr.out, "\n") + "\n"
}

// command carries out a line: that of several devices as one of each.
func (tr *transcript) command(line string) {
	first, rest, _ := strings.Cut(line, " ")
	switch first {
	case "timers":
		tr.listTimers()
		return
	case "openings":
		tr.listOpenings(rest)
		return
	}
	for _, who := range expand([]string{first}) {
		tr.line(strings.TrimSpace(who + " " + rest))
	}
	tr.write("  ", tr.replies)
	tr.write("  ", slices.DeleteFunc(tr.changes(), tr.isReply))
	tr.replies, tr.events = nil, nil
	if first == "advance" || first == "outage" {
		tr.write("  ", []said{{"", "it is " + tr.m.now.Format("Mon 15:04:05")}})
	}
}

// look writes down what is different from the last moment. What happens in the course of
// an advance has its time.
func (tr *transcript) look(r *reply) {
	tr.events = append(tr.events, tr.told...)
	if r == nil {
		if changes := tr.changes(); len(changes) > 0 {
			tr.write("  ", []said{{"", "at " + tr.m.now.Format("15:04:05")}})
			tr.write("    ", changes)
		}
		return
	}
	c, _ := parseCommand(tr.script.lines[len(tr.script.lines)-1])
	if what := tr.replyTo(c, r); what != "" {
		tr.replies = append(tr.replies, said{c.thing, what})
	}
}

// unsaid is what only some lines about an execution say.
var unsaid = regexp.MustCompile(`, retry \d+|, \d+ s left`)

// isReply tells whether a device was told the same in the reply.
func (tr *transcript) isReply(change said) bool {
	return slices.ContainsFunc(tr.replies, func(r said) bool {
		told, ok := strings.CutPrefix(unsaid.ReplaceAllString(r.what, ""), "accepted: ")
		what := unsaid.ReplaceAllString(change.what, "")
		return ok && r.who == change.who && (what == told || strings.HasSuffix(what, " "+told))
	})
}

func (tr *transcript) replyTo(c command, r *reply) string {
	switch {
	case r.Code != "" && r.State != nil:
		return fmt.Sprintf("refused: %s, it is %s v%d", r.Code, r.State.Status, r.State.VersionNumber)
	case r.Code != "":
		return "refused: " + string(r.Code)
	case r.State != nil:
		return fmt.Sprintf("accepted: %s v%d%s", r.State.Status, r.State.VersionNumber, details(r.State.StatusDetails))
	case r.Execution != nil:
		left := ""
		if n, ok := r.Execution.SecondsBeforeTimedOut(tr.m.now); ok {
			left = fmt.Sprintf(", %d s left", n)
		}
		return "accepted: " + executionText(r.Execution) + left
	case c.verb == "get-pending":
		return "accepted: " + listed(r.Queue)
	case c.thing != "":
		return "accepted: no execution"
	}
	return ""
}

func listed(queue []jobsvc.JobExecution) string {
	var all []string
	for _, x := range queue {
		all = append(all, fmt.Sprintf("%s#%d %s", x.JobID, x.ExecutionNumber, x.Status))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func executionText(x *jobsvc.JobExecution) string {
	s := fmt.Sprintf("%s#%d %s v%d", x.JobID, x.ExecutionNumber, x.Status, x.VersionNumber)
	if x.RetryAttempt > 0 {
		s += fmt.Sprintf(", retry %d", x.RetryAttempt)
	}
	if x.ForceCanceled {
		s += ", forced"
	}
	return s + details(x.StatusDetails)
}

func details(d map[string]string) string {
	if len(d) == 0 {
		return ""
	}
	return " " + strings.TrimPrefix(fmt.Sprint(d), "map")
}

// picture is what there was at a moment, in words, by what it is about.
type picture struct {
	executions map[string]said
	jobs       map[string]said
	queues     map[queueName]toldQueue
}

// toldQueue is a queue with the versions that say when it is told.
type toldQueue struct {
	list, head  string
	setV, headV uint64
}

func (tr *transcript) picture() picture {
	p := picture{make(map[string]said), make(map[string]said), make(map[queueName]toldQueue)}
	for _, id := range slices.Sorted(maps.Keys(tr.jobIDs)) {
		d, err := tr.s.DescribeJob(tr.s.ctx, id)
		if err != nil {
			continue // gone
		}
		p.jobs[id] = said{"", describeJob(d)}
		for _, x := range tr.s.executionsOf(id, "", 250) {
			p.executions[fmt.Sprintf("%s %s#%09d", x.ThingName, id, x.ExecutionNumber)] = said{x.ThingName, executionText(&x)}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(tr.names)) {
		for _, ns := range namespaces {
			q, err := tr.s.ThingQueue(tr.s.ctx, n, ns)
			if err != nil {
				continue // gone
			}
			t := toldQueue{list: listed(slices.Concat(q.InProgress, q.Queued)), head: "nothing", setV: q.SetVersion, headV: q.HeadVersion}
			if q.Head != nil {
				t.head = fmt.Sprintf("%s#%d", q.Head.JobID, q.Head.ExecutionNumber)
			}
			p.queues[queueName{n, ns}] = t
		}
	}
	return p
}

func describeJob(d *jobsvc.JobDescription) string {
	s := fmt.Sprintf("job %s is %s", d.ID, d.Status)
	if d.Concurrent {
		s += ", concurrent"
	}
	if d.ForceCanceled {
		s += ", forced"
	}
	s += counts(&d.ProcessDetails)
	if d.ReasonCode != "" {
		s += ", because " + d.ReasonCode
	}
	if d.Comment != "" {
		s += fmt.Sprintf(" %q", d.Comment)
	}
	return s
}

// counts says how many executions are in which status, but for those without any.
func counts(p *jobsvc.JobProcessDetails) (s string) {
	if p == nil {
		return ""
	}
	for _, status := range jobsvc.JobExecutionStatuses() {
		if n := *p.Count(status); n > 0 {
			s += fmt.Sprintf(", %d %s", n, status)
		}
	}
	return s
}

// changes compares what there is with what there was at the last moment.
func (tr *transcript) changes() []said {
	old, now := tr.before, tr.picture()
	tr.before = now
	happened := tr.events
	tr.events = nil
	list := differ(old.executions, now.executions)
	list = append(list, differ(old.jobs, now.jobs)...)
	for _, ns := range namespaces {
		for _, n := range slices.Sorted(maps.Keys(tr.names)) {
			name := queueName{n, ns}
			was, is := old.queues[name], now.queues[name]
			to := n
			if ns != "" {
				to += " in namespace " + ns
			}
			var told []string
			if is.setV > was.setV {
				told = append(told, "notify "+is.list)
			}
			if is.headV > was.headV {
				told = append(told, "notify-next "+is.head)
			}
			if told != nil {
				list = append(list, said{to, "told " + strings.Join(told, ", ")})
			}
		}
	}
	return append(list, events(happened)...)
}

// events are what operators are told.
func events(told []jobsvc.Event) (list []said) {
	for i := range told {
		e := &told[i]
		if e.Execution != nil {
			list = append(list, said{e.Execution.ThingName, fmt.Sprintf("event jobExecution/%s/%s", e.JobID(), e.Operation)})
		} else {
			list = append(list, said{"", fmt.Sprintf("event job/%s/%s%s", e.JobID(), e.Operation, counts(e.Job.ProcessDetails))})
		}
	}
	return list
}

func differ(old, now map[string]said) (list []said) {
	for _, k := range slices.Sorted(maps.Keys(now)) {
		if old[k] != now[k] {
			list = append(list, now[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(old)) {
		if _, there := now[k]; !there {
			list = append(list, said{old[k].who, firstWords(old[k].what) + " is gone"})
		}
	}
	return list
}

// firstWords is what a line is about: "fw#1", "job fw".
func firstWords(what string) string {
	words := strings.Fields(what)
	if words[0] == "job" {
		return "job " + words[1]
	}
	return words[0]
}

// write adds lines, those that say the same one after the other as one.
func (tr *transcript) write(indent string, list []said) {
	for i := 0; i < len(list); {
		var who []string
		for what := list[i].what; i < len(list) && list[i].what == what; i++ {
			who = append(who, list[i].who)
		}
		line := indent
		if who[0] != "" {
			line += several(who) + ": "
		}
		tr.out = append(tr.out, line+list[i-1].what)
	}
}

// several names a few, or says how many they are.
func several(who []string) string {
	if len(who) <= 4 {
		return strings.Join(who, ", ")
	}
	return fmt.Sprintf("%s … %s (%d)", who[0], who[len(who)-1], len(who))
}

var timerNames = map[store.TimerKind]string{
	store.TimerStart: "start", store.TimerRollout: "rollout", store.TimerCancel: "cancel", store.TimerDelete: "delete", store.TimerTimeout: "timeout",
	store.TimerClose: "close", store.TimerEnd: "end", store.TimerWindow: "window",
}

func (tr *transcript) listTimers() {
	if len(tr.s.timers()) == 0 {
		tr.out = append(tr.out, "  none")
	}
	for _, t := range tr.s.timers() {
		what := t.JobID
		if t.Kind == store.TimerTimeout {
			what = fmt.Sprintf("%s#%d of %s", t.JobID, t.Guard, t.Scope.ID)
		}
		tr.out = append(tr.out, fmt.Sprintf("  %s %s of %s", t.Due.Format("Mon 15:04:05"), cmp.Or(timerNames[t.Kind], string(rune(t.Kind))), what))
	}
}

func (tr *transcript) listOpenings(job string) {
	d, err := tr.s.DescribeJob(tr.s.ctx, job)
	tr.s.must(err)
	if len(d.ScheduledRollouts) == 0 {
		tr.out = append(tr.out, "  none")
	}
	for _, at := range d.ScheduledRollouts {
		tr.out = append(tr.out, "  "+at.Format("Mon 2006-01-02 15:04"))
	}
}
