package main

import (
	"fmt"
	"slices"
	"sync"
)

// The verdicts: what a fleet holds the broker to. Each is judged by every device from the messages
// it sends and receives, in the order in which it does.
const (
	checkVersions = "versions"  // the versionNumber of an execution goes up by one with every accepted change
	checkTerminal = "terminal"  // an attempt has one terminal state, and does not come back from it
	checkOrder    = "order"     // accepted, then notify, then notify-next
	checkRepeats  = "repeats"   // no notification says again what the one before it said
	checkLost     = "lost"      // what is in the queue at the end was announced
	checkReplies  = "replies"   // one reply a request, on its topic, to its own connection
	checkRefusals = "refusals"  // what is wrong is refused, with the right code
	checkAsserts  = "scenario"  // the assertions of a scenario
	checkCounters = "counters"  // the counters of DescribeJob are what the devices reported
	checkContent  = "execution" // an execution on offer is complete and not one that has ended

	// Of a long run, with the server's own metrics.
	checkMemory     = "memory"     // resident memory and heap stay flat
	checkGoroutines = "goroutines" // so does the number of goroutines
	checkDrift      = "drift"      // so does the p99 of every kind of request
)

// maxExamples bounds the examples of a verdict; failed counts them all.
const maxExamples = 20

// verdict is the outcome of one check over a whole fleet.
type verdict struct {
	Name     string   `json:"name"`
	Checked  int      `json:"checked"` // how often it was judged
	Failed   int      `json:"failed"`
	Examples []string `json:"examples,omitempty"`
}

func (v verdict) broken() bool { return v.Failed > 0 }

func (v verdict) String() string {
	switch {
	case v.Failed > 0:
		return fmt.Sprintf("verdict %s: FAILED, %d of %d", v.Name, v.Failed, v.Checked)
	case v.Checked == 0:
		return fmt.Sprintf("verdict %s: nothing to judge", v.Name)
	}
	return fmt.Sprintf("verdict %s: passed, %d checked", v.Name, v.Checked)
}

// verdicts collects the verdicts of a fleet. Its methods are safe for concurrent use.
type verdicts struct {
	mu  sync.Mutex
	all []verdict // guarded by mu
}

func newVerdicts() *verdicts {
	v := &verdicts{}
	for _, name := range []string{checkVersions, checkTerminal, checkOrder, checkRepeats, checkLost, checkReplies, checkRefusals, checkContent} {
		v.all = append(v.all, verdict{Name: name})
	}
	return v
}

// passed counts judgements that found nothing.
func (v *verdicts) passed(name string, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.find(name).Checked += n
}

// failed counts one that did.
func (v *verdicts) failed(name, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.find(name)
	f.Checked++
	f.Failed++
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// find returns the verdict of a name, a new one if need be. mu is held.
func (v *verdicts) find(name string) *verdict {
	for i := range v.all {
		if v.all[i].Name == name {
			return &v.all[i]
		}
	}
	v.all = append(v.all, verdict{Name: name})
	return &v.all[len(v.all)-1]
}

// list returns the verdicts so far; nil for a run without.
func (v *verdicts) list() []verdict {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.all)
}
