package policy

import "strings"

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
	action = strings.ToLower(action)
	for _, p := range policies {
		allow, deny := p.decide(action, resource, c)
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

// decide tells what the statements of one policy say. action is in lower case.
func (d *Document) decide(action, resource string, c *Context) (allow, deny bool) {
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

func (s *statement) applies(action, resource string, c *Context) bool {
	return anyMatches(s.actions, action, c) && anyMatches(s.resources, resource, c) && s.holds(c)
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
