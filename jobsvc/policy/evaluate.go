package policy

import (
	"slices"
	"strings"
)

// Effect is a decision.
type Effect byte

// The effects, as TestAuthorization names them.
const (
	ImplicitDeny Effect = iota // IMPLICIT_DENY: nothing allows it
	Allowed                    // ALLOWED
	ExplicitDeny               // EXPLICIT_DENY: something forbids it, whatever allows it
)

func (e Effect) String() string {
	switch e {
	case Allowed:
		return "ALLOWED"
	case ExplicitDeny:
		return "EXPLICIT_DENY"
	}
	return "IMPLICIT_DENY"
}

// Named is a policy that applies to a request.
type Named struct {
	Name string
	*Document
}

// Decision is what policies say of a request.
type Decision struct {
	Effect Effect
	// Allow and Deny are the names of the policies that allow and that forbid it, in the
	// order given.
	Allow, Deny []string
}

// Evaluate decides whether an action ("iot:Publish") on a resource (an ARN) is allowed. A
// deny wins over every allow; without an allow it is denied.
func Evaluate(policies []Named, action, resource string, c *Context) Decision {
	var d Decision
	spellings := spellingsOf(action)
	for _, p := range policies {
		allow, deny := p.decide(spellings, resource, c)
		if allow {
			d.Allow = append(d.Allow, p.Name)
		}
		if deny {
			d.Deny = append(d.Deny, p.Name)
		}
	}
	switch {
	case len(d.Deny) > 0:
		d.Effect = ExplicitDeny
	case len(d.Allow) > 0:
		d.Effect = Allowed
	}
	return d
}

// spellings are, in lower case, how policies may write an action: those of jobs have an
// older and a newer name.
type spellings []string

var knownActions = func() map[string]spellings {
	m := map[string]spellings{}
	for _, a := range []string{"Connect", "Publish", "RetainPublish", "Subscribe", "Receive"} {
		lower := strings.ToLower("iot:" + a)
		m["iot:"+a], m[lower] = spellings{lower}, spellings{lower}
	}
	for _, a := range []string{"DescribeJobExecution", "GetPendingJobExecutions", "UpdateJobExecution", "StartNextPendingJobExecution"} {
		both := spellings{strings.ToLower("iot:" + a), strings.ToLower("iotjobsdata:" + a)}
		m["iot:"+a], m["iotjobsdata:"+a] = both, both
		m[both[0]], m[both[1]] = both, both
	}
	return m
}()

func spellingsOf(action string) spellings {
	if s, ok := knownActions[action]; ok {
		return s
	}
	lower := strings.ToLower(action)
	if s, ok := knownActions[lower]; ok {
		return s
	}
	return spellings{lower}
}

// decide tells what the statements of one policy say.
func (d *Document) decide(action spellings, resource string, c *Context) (allow, deny bool) {
	for i := range d.statements {
		s := &d.statements[i]
		if s.deny && deny || !s.deny && allow || !s.applies(action, resource, c) {
			continue
		}
		if s.deny {
			deny = true
		} else {
			allow = true
		}
	}
	return allow, deny
}

func (s *statement) applies(action spellings, resource string, c *Context) bool {
	return slices.ContainsFunc(action, func(a string) bool { return anyMatches(s.actions, a, c) }) && anyMatches(s.resources, resource, c) && s.holds(c)
}

func anyMatches(patterns []pattern, text string, c *Context) bool {
	for i := range patterns {
		if patterns[i].matches(text, c) {
			return true
		}
	}
	return false
}

func (s *statement) holds(c *Context) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(c) {
			return false
		}
	}
	return true
}
