package engine_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAgainstModel does random things to the engine and to the model of the specification,
// and compares the two after each. A failure is shrunk to the shortest sequence of commands
// that fails; those can be put into a file of testdata/transcripts as they are.
//
// It runs from one seed, so that it finds tomorrow what it finds today. MODEL_CHECKS is how
// many sequences it tries; -rapid.seed begins elsewhere.
func TestAgainstModel(t *testing.T) {
	defaults := map[string]string{"rapid.checks": "400", "rapid.steps": "40", "rapid.seed": "1", "rapid.nofailfile": "true"}
	if n := os.Getenv("MODEL_CHECKS"); n != "" {
		defaults["rapid.checks"] = n
	}
	flag.Visit(func(f *flag.Flag) { delete(defaults, f.Name) })
	for name, value := range defaults {
		old := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flag.Set(name, old) })
	}
	rapid.Check(t, func(rt *rapid.T) {
		g := &generator{t: rt, l: newLockstep(rt)}
		g.l.disturb = func() disturbance {
			return rapid.SampledFrom([]disturbance{calm, calm, calm, twice, restarted, confused}).Draw(rt, "")
		}
		g.l.line("thing pump-1 pump-2 pump-3")
		g.l.line("group all")
		g.l.line("group east --in all pump-1 pump-2")
		g.l.line("group west --in all")
		g.l.line("group lone pump-1 pump-3")
		rt.Repeat(map[string]func(*rapid.T){"step": g.step})
	})
}

// generator makes commands.
type generator struct {
	t *rapid.T
	l *lockstep
	n int // commands so far
}

// step makes and carries out a command, at a time that is nothing else's.
func (g *generator) step(*rapid.T) {
	g.n++
	at := g.l.m.now.Truncate(time.Second).Add(time.Second + time.Duration(g.n)*time.Millisecond)
	g.l.advance(at)
	g.l.line(g.command())
}

// weighted has each kind of command as often as it is wanted.
var weighted = func() (list []string) {
	for _, w := range strings.Fields("advance:10 create-job:9 start-next:22 update:26 describe:2 get-pending:1 cancel-job:3 delete-job:2 update-job:3 associate:3 cancel-execution:4 delete-execution:4 join:7 leave:6 move:4 delete-group:1 group:1 thing:3 delete-thing:2 restart:1 outage:2") {
		kind, n, _ := strings.Cut(w, ":")
		for range mustInt(n) {
			list = append(list, kind)
		}
	}
	return list
}()

// one gives one of a few words.
func (g *generator) one(words string) string {
	return rapid.SampledFrom(strings.Fields(words)).Draw(g.t, "")
}

// maybe gives text in one of n cases, else nothing. The shortest sequence has nothing.
func (g *generator) maybe(n int, text func() string) string {
	if rapid.IntRange(0, n-1).Draw(g.t, "") != n-1 {
		return ""
	}
	return " " + text()
}

func (g *generator) always(text string) func() string { return func() string { return text } }

// mostly gives one of what there is in three of four cases, if there is any, else one of
// the words.
func (g *generator) mostly(there []string, words string) string {
	if len(there) > 0 && rapid.IntRange(0, 3).Draw(g.t, "") < 3 {
		return rapid.SampledFrom(there).Draw(g.t, "")
	}
	return g.one(words)
}

const (
	someThings = "pump-1 pump-2 pump-3 pump-4"
	someGroups = "all east west lone"
	someJobs   = "job-1 job-2 job-3"
)

func (g *generator) thing() string {
	return g.mostly(slices.Sorted(maps.Keys(g.l.m.things)), someThings)
}

func (g *generator) group() string { return g.one(someGroups) }

func (g *generator) job() string {
	return g.mostly(slices.Sorted(maps.Keys(g.l.m.jobs)), someJobs)
}

// pending is a thing with a job it has to do, mostly, and the namespace of that.
func (g *generator) pending() (thing, job, namespace string) {
	var there []string
	for _, j := range sorted(g.l.m.jobs) {
		for _, x := range j.executions {
			if !ended(x) {
				there = append(there, x.ThingName+" "+j.ID+" "+j.NamespaceID)
			}
		}
	}
	words := strings.Split(g.mostly(there, "none")+"  ", " ")
	if words[0] == "none" {
		return g.thing(), g.job(), ""
	}
	return words[0], words[1], words[2]
}

// membership is a thing with a group it is in, mostly.
func (g *generator) membership() (thing, group string) {
	var there []string
	for _, t := range sorted(g.l.m.things) {
		for _, in := range slices.Sorted(maps.Keys(t.groups)) {
			there = append(there, t.name+" "+in)
		}
	}
	thing, group, ok := strings.Cut(g.mostly(there, "none"), " ")
	if !ok {
		return g.thing(), g.group()
	}
	return thing, group
}

func (g *generator) command() string {
	switch kind := rapid.SampledFrom(weighted).Draw(g.t, ""); kind {
	case "advance":
		return "advance " + g.one("20s 59s 1m 61s 2m 5m 30m")
	case "outage":
		return "outage " + g.one("1m 3m 20m")
	case "create-job":
		return g.createJob()
	case "start-next":
		return g.thing() + " start-next" + g.maybe(4, func() string { return "--step " + g.one("1m 4m") }) + g.details()
	case "update":
		thing, job, namespace := g.pending()
		line := thing + " update " + job + " " + g.one("SUCCEEDED FAILED FAILED IN_PROGRESS IN_PROGRESS REJECTED TIMED_OUT CANCELED") + g.details()
		if namespace != "" {
			line += " --namespace " + namespace
		}
		line += g.maybe(4, func() string { return "--step " + g.one("1m 3m none") })
		return line + g.maybe(5, func() string { return "--expect " + g.one("1 2 3") }) + g.maybe(8, func() string { return "--number " + g.one("1 2 3") })
	case "describe":
		return g.thing() + " describe " + g.one(someJobs+" $next") + g.namespace()
	case "get-pending":
		return g.thing() + " get-pending"
	case "cancel-job":
		return "cancel-job " + g.job() + g.maybe(3, g.always("--force")) + g.maybe(4, g.always(`--reason BAD --comment "why not"`))
	case "delete-job":
		return "delete-job " + g.job() + g.maybe(3, g.always("--force"))
	case "update-job":
		return "update-job " + g.job() + g.maybe(3, func() string { return "--timeout " + g.one("0s 1m 10m") }) + g.rate(false) + g.abort() + g.maybe(4, g.always("--retry ALL:0"))
	case "associate":
		return "associate " + g.job() + g.targets()
	case "cancel-execution":
		thing, job, _ := g.pending()
		return "cancel-execution " + thing + " " + job + g.maybe(2, g.always("--force")) + g.maybe(5, g.always("--expect 2")) + g.details()
	case "delete-execution":
		thing, job, _ := g.pending()
		return "delete-execution " + thing + " " + job + " " + g.one("1 2 3") + g.maybe(2, g.always("--force"))
	case "join":
		return "join " + g.thing() + " " + g.group()
	case "leave":
		thing, group := g.membership()
		return "leave " + thing + " " + group
	case "move":
		thing, from := g.membership()
		if to := g.group(); to != from {
			return "move " + thing + " " + from + " " + to
		}
		return "leave " + thing + " " + from
	case "group":
		return rapid.SampledFrom([]string{"group east --in all", "group west --in all", "group lone"}).Draw(g.t, "")
	default: // delete-group, thing, delete-thing, restart
		return kind + map[string]string{"delete-group": " " + g.one("east west lone"), "thing": " " + g.thing(), "delete-thing": " " + g.thing()}[kind]
	}
}

func (g *generator) details() string {
	return g.maybe(6, func() string {
		return rapid.SampledFrom([]string{"--detail step=1", "--detail step=2 --detail why=not", "--clear"}).Draw(g.t, "")
	})
}

func (g *generator) namespace() string { return g.maybe(5, g.always("--namespace agent")) }

func (g *generator) targets() string {
	line := ""
	for range rapid.IntRange(1, 2).Draw(g.t, "") {
		if rapid.Bool().Draw(g.t, "") {
			line += " --thing " + g.thing()
		} else {
			line += " --group " + g.group()
		}
	}
	return line
}

func (g *generator) createJob() string {
	line := "create-job " + g.one(someJobs) + g.targets() + g.namespace()
	line += g.maybe(2, func() string { return "--timeout " + g.one("1m 2m 10m") })
	line += g.rate(true) + g.abort()
	line += g.maybe(2, func() string {
		return "--retry " + strings.ReplaceAll(g.one("FAILED:1 FAILED:2 TIMED_OUT:1 FAILED:2+TIMED_OUT:1 ALL:2"), "+", " --retry ")
	})
	continuous := g.maybe(2, g.always("--continuous"))
	line += continuous
	if continuous != "" {
		line += g.maybe(3, func() string {
			return `--window "cron(` + g.one("*/10 */15 5,12 30") + ` * * * ? *) for ` + g.one("3m 4m 11m") + `"`
		})
	}
	line += g.maybe(5, func() string { return "--start " + g.one("1m0.25s 5m0.25s") })
	line += g.maybe(4, func() string {
		return "--end " + g.one("6m0.5s 20m0.5s") + " --at-end " + g.one("STOP_ROLLOUT CANCEL FORCE_CANCEL")
	})
	return line
}

func (g *generator) rate(create bool) string {
	return g.maybe(3, func() string {
		off := ""
		if !create {
			off = " off"
		}
		switch kind := g.one("rate exponential" + off); kind {
		case "rate":
			return "--rate " + g.one("1 2")
		case "off":
			return "--rate off"
		}
		per := rapid.SampledFrom([]string{"--per-notified 1", "--per-succeeded 1", "--per-notified 2 --per-succeeded 1"}).Draw(g.t, "")
		return fmt.Sprintf("--rate %s --exponential %s %s", g.one("3 1000"), g.one("1*1.5 1*2"), per)
	})
}

func (g *generator) abort() string {
	return g.maybe(3, func() string { return "--abort " + g.one("FAILED:50:2 ALL:33.34:3 TIMED_OUT:10:1 REJECTED:100:1") })
}
