package policy

import (
	"slices"
	"strings"
	"time"
)

// Judge decides about one connection: the policies that it is under, and what is known of
// it. It does not change and may be shared by goroutines.
type Judge struct {
	Policies []Named // sorted by name
	Context  Context // Now is that of each question
	// Account begins every ARN of the installation: "arn:aws:iot:us-east-1:123456789012:".
	Account string
	// Timed: what is decided may be otherwise later, without any change.
	Timed bool
	// KnowsThing: the type and the attributes of the thing are in Context, if there are any.
	KnowsThing bool
}

// NewJudge makes a judge. certificate gives the values of the certificate: it is called
// only when a policy looks at them.
func NewJudge(policies []Named, account string, c Context, certificate func() map[string][]string) *Judge {
	j := &Judge{Policies: policies, Account: account, Context: c}
	looksAtCertificate := false
	for _, p := range policies {
		j.Timed = j.Timed || p.looksAt("aws:CurrentTime") || p.looksAt("aws:EpochTime")
		looksAtCertificate = looksAtCertificate || p.looksAtCertificate()
	}
	if looksAtCertificate && certificate != nil {
		j.Context.Certificate = certificate()
	}
	return j
}

// With gives a judge with another document of a policy that it is under. It is nil when
// that looks at what this one has not had to know.
func (j *Judge) With(name string, doc *Document) *Judge {
	if doc.LooksAtThing() && !j.KnowsThing || doc.looksAtCertificate() && j.Context.Certificate == nil {
		return nil
	}
	policies := slices.Clone(j.Policies)
	for i := range policies {
		if policies[i].Name == name {
			policies[i].Document = doc
		}
	}
	changed := NewJudge(policies, j.Account, j.Context, func() map[string][]string { return j.Context.Certificate })
	changed.KnowsThing = j.KnowsThing
	return changed
}

// The resources of actions, as they are written behind the account.
const (
	ClientResource = "client/"
	TopicResource  = "topic/"
	FilterResource = "topicfilter/"
	ThingResource  = "thing/"
)

// Decide is what the policies say of an action on a resource of a kind, one of the
// constants, now. It parses nothing.
func (j *Judge) Decide(action, kind, name string, now time.Time) Effect {
	c := &j.Context
	if j.Timed {
		at := j.Context
		at.Now = now
		c = &at
	}
	return Decide(j.Policies, action, j.Account+kind+name, c)
}

// Explain is Decide with the reason, for people.
func (j *Judge) Explain(action, kind, name string, now time.Time) (Effect, string) {
	at := j.Context
	at.Now = now
	d := Evaluate(j.Policies, action, j.Account+kind+name, &at)
	names := make([]string, len(j.Policies))
	for i, p := range j.Policies {
		names[i] = p.Name
	}
	switch {
	case d.Effect == Allowed:
		return d.Effect, ""
	case d.Effect == ExplicitDeny:
		return d.Effect, "the policy " + strings.Join(d.Deny, ", ") + " forbids " + action + " on " + kind + name
	case len(names) == 0:
		return d.Effect, "no policy is attached, so " + action + " on " + kind + name + " is not allowed"
	}
	reason := "no statement of the policy " + strings.Join(names, ", ") + " allows " + action + " on " + kind + name
	if missing := Missing(j.Policies, action, &at); len(missing) > 0 {
		reason += "; without a value: " + strings.Join(missing, ", ")
	}
	return d.Effect, reason
}

// Under tells whether the policy is one of those that decide.
func (j *Judge) Under(name string) bool {
	for _, p := range j.Policies {
		if p.Name == name {
			return true
		}
	}
	return false
}

// LooksAtThing tells whether the type or an attribute of the thing matters.
func (d *Document) LooksAtThing() bool {
	return d.looksAt("iot:Connection.Thing.ThingTypeName") || d.looksAt("iot:Connection.Thing.Attributes")
}

func (d *Document) looksAtCertificate() bool { return d.looksAt("iot:Certificate") }

// looksAt tells whether a variable or a key of a condition begins with a prefix.
func (d *Document) looksAt(prefix string) bool {
	in := func(patterns []pattern) bool {
		for i := range patterns {
			for _, q := range patterns[i].parts {
				if q.kind == variable && strings.HasPrefix(q.name, prefix) {
					return true
				}
			}
		}
		return false
	}
	for i := range d.statements {
		s := &d.statements[i]
		if in(s.resources) {
			return true
		}
		for j := range s.conditions {
			if strings.HasPrefix(s.conditions[j].key, prefix) || in(s.conditions[j].values) {
				return true
			}
		}
	}
	return false
}
