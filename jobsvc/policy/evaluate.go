package policy

import (
	"maps"
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

// Decide is Evaluate without the names. It does not allocate: it is for requests of devices.
func Decide(policies []Named, action, resource string, c *Context) Effect {
	effect := ImplicitDeny
	spellings := spellingsOf(action)
	for _, p := range policies {
		switch allow, deny := p.decide(spellings, resource, c); {
		case deny:
			return ExplicitDeny
		case allow:
			effect = Allowed
		}
	}
	return effect
}

// Missing gives the variables and keys that the policies look at for an action and that
// have no value in the context, sorted, each once.
func Missing(policies []Named, action string, c *Context) []string {
	names := map[string]bool{}
	add := func(patterns []pattern) {
		for i := range patterns {
			for _, q := range patterns[i].parts {
				if q.kind != variable {
					continue
				}
				if _, ok := c.single(q.name); !ok {
					names[q.name] = true
				}
			}
		}
	}
	spellings := spellingsOf(action)
	for _, p := range policies {
		for i := range p.statements {
			s := &p.statements[i]
			if !s.about(spellings) {
				continue
			}
			add(s.resources)
			for j := range s.conditions {
				k := &s.conditions[j]
				add(k.values)
				var room [1]string
				if !k.op.null && !k.ifExists && len(c.lookup(k.key, &room)) == 0 {
					names[k.key] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
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
	// A device chooses its client ID. One like + must not turn the filter that a policy
	// allows for it into a filter of everybody's topics; a deny means such filters, too.
	plain := !s.deny && isTopicFilter(resource)
	return s.about(action) && anyMatches(s.resources, resource, c, plain) && s.holds(c)
}

// about tells whether the statement is about an action.
func (s *statement) about(action spellings) bool {
	return slices.ContainsFunc(action, func(a string) bool { return anyMatches(s.actions, a, nil, false) })
}

// isTopicFilter looks at the part of an ARN that says what it names.
func isTopicFilter(arn string) bool {
	for range 5 {
		_, rest, ok := strings.Cut(arn, ":")
		if !ok {
			return false
		}
		arn = rest
	}
	return strings.HasPrefix(arn, "topicfilter/")
}

func anyMatches(patterns []pattern, text string, c *Context, plain bool) bool {
	for i := range patterns {
		if patterns[i].matches(text, c, plain) {
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
