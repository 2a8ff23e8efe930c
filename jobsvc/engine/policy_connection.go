package engine

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"sync"
	"unique"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
)

// maxCompiledPolicies bounds how many policies are kept ready to be evaluated, beside
// those that connections hold.
const maxCompiledPolicies = 1000

// policyCache keeps policies ready to be evaluated, in their default versions.
type policyCache struct {
	mu     sync.Mutex
	change uint64 // counts what was forgotten: a reading that began before is not kept
	docs   map[string]*policy.Document
}

func (c *policyCache) get(name string) (doc *policy.Document, change uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.docs[name], c.change
}

func (c *policyCache) put(name string, doc *policy.Document, change uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.change != change {
		return
	}
	if c.docs == nil {
		c.docs = make(map[string]*policy.Document)
	}
	for old := range c.docs {
		if len(c.docs) < maxCompiledPolicies {
			break
		}
		delete(c.docs, old)
	}
	c.docs[name] = doc
}

func (c *policyCache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change++
	delete(c.docs, name)
}

// PolicyDocument gives the default version of a policy ready to be evaluated; nil when
// there is no such policy.
func (e *Engine) PolicyDocument(ctx context.Context, name string) (*policy.Document, error) {
	doc, change := e.compiledPolicies.get(name)
	if doc != nil {
		return doc, nil
	}
	d, err := e.GetPolicy(ctx, name)
	if jobsvc.ErrorCode(err) == jobsvc.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if doc, err = policy.Parse(d.Version.Document); err != nil {
		return nil, internalParse(err, name)
	}
	e.compiledPolicies.put(name, doc, change)
	return doc, nil
}

// internalParse hides that a stored policy was refused: it is nobody's request's fault.
func internalParse(err error, name string) error {
	return &jobsvc.Error{Code: jobsvc.CodeInternal, Message: "Policy " + name + " cannot be read.", Err: err}
}

// policyChanged forgets a policy made ready, and lets live connections feel the change. It
// is called whether the transaction is known to be committed or not.
func (e *Engine) policyChanged(name string) {
	e.compiledPolicies.forget(name)
	if e.opts.Sessions != nil {
		e.opts.Sessions.PolicyChanged(name)
	}
}

// policyTargetChanged lets live connections feel that a policy was attached to a target,
// an ARN, or detached.
func (e *Engine) policyTargetChanged(target string) {
	switch kind, name, _ := e.opts.Account.Parse(target); kind {
	case jobsvc.ARNCert:
		e.certificateChanged(name)
	case jobsvc.ARNThingGroup:
		e.thingGroupChanged(name)
	}
}

func (e *Engine) thingGroupChanged(group string) {
	if e.opts.Sessions != nil {
		e.opts.Sessions.ThingGroupChanged(group)
	}
}

func (e *Engine) thingChanged(thing string) {
	if e.opts.Sessions != nil {
		e.opts.Sessions.ThingChanged(thing)
	}
}

// ConnectionJudge gives what a connection of a certificate under a client ID is judged by
// in policy mode: the policies of the certificate, and of the groups, with their ancestors,
// of the thing that the connection is tied to. That is the thing that the client ID names,
// if the certificate is attached to it, or the one of an exclusive attachment.
//
// Without always, it gives nil when there are no policies: neither on the certificate nor
// on a group of any thing that the connection may stand for. A device does not get rid of
// the policies of its groups by another client ID.
//
// groups are those that were looked at: when policies are attached to one of them, or when
// it is deleted, the answer may be another.
func (e *Engine) ConnectionJudge(ctx context.Context, b *jobsvc.Binding, clientID, sourceIP string, always bool) (j *policy.Judge, groups []string, err error) {
	tied := tiedThing(b, clientID)
	names := slices.Clone(b.Policies)
	if tied != "" {
		ofGroups, looked, err := e.policiesOfGroups(ctx, tied)
		if err != nil {
			return nil, nil, err
		}
		names, groups = append(names, ofGroups...), looked
	}
	if len(names) == 0 && !always {
		others := b.Things
		if name, _, _ := strings.Cut(clientID, "#"); slices.Contains(others, name) {
			others = []string{name}
		}
		found := false
		for _, t := range others {
			if t == tied {
				continue
			}
			ofGroups, looked, err := e.policiesOfGroups(ctx, t)
			if err != nil {
				return nil, nil, err
			}
			groups = append(groups, looked...)
			found = found || len(ofGroups) > 0
		}
		if !found {
			return nil, groups, nil
		}
	}
	slices.Sort(names)
	var policies []policy.Named
	for _, n := range slices.Compact(names) {
		doc, err := e.PolicyDocument(ctx, n)
		if err != nil {
			return nil, nil, err
		}
		if doc != nil {
			policies = append(policies, policy.Named{Name: n, Document: doc})
		}
	}
	c := policy.Context{ClientID: clientID, SourceIP: sourceIP, Attached: tied != "", ThingName: tied}
	knowsThing := tied == ""
	if tied != "" && slices.ContainsFunc(policies, func(p policy.Named) bool { return p.LooksAtThing() }) {
		switch t, err := e.DescribeThing(ctx, tied); {
		case jobsvc.ErrorCode(err) == jobsvc.CodeNotFound: // just now; that change is on its way
			c.Attached = false
		case err != nil:
			return nil, nil, err
		default:
			c.ThingTypeName, c.ThingAttribute, knowsThing = t.TypeName, t.Attributes, true
		}
	}
	j = policy.NewJudge(policies, e.opts.Account.Prefix(), c, func() map[string][]string { return certificateValues(&b.Certificate) })
	j.KnowsThing = knowsThing
	return j, groups, nil
}

// tiedThing is the thing whose values the thing variables of policies have; "" for none. A
// client ID names a thing up to the first '#', as without policies: agents open several
// connections. Differs from AWS, where the client ID is the whole name.
func tiedThing(b *jobsvc.Binding, clientID string) string {
	name, _, _ := strings.Cut(clientID, "#")
	switch {
	case slices.Contains(b.Things, name):
		return name
	case b.Exclusive && len(b.Things) == 1:
		return b.Things[0]
	}
	return ""
}

// policiesOfGroups gives the names of the policies on the groups of a thing and their
// ancestors, and the names of those groups.
func (e *Engine) policiesOfGroups(ctx context.Context, thing string) (policies, groups []string, err error) {
	targets, err := e.groupTargets(ctx, thing)
	if jobsvc.ErrorCode(err) == jobsvc.CodeNotFound { // deleted just now; that change is on its way
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, t := range targets {
		if _, name, ok := e.opts.Account.Parse(t); ok {
			groups = append(groups, unique.Make(name).Value()) // shared by all connections
		}
	}
	policies, err = e.attachedTo(ctx, targets...)
	return policies, groups, err
}

// certificateValues are what policies may ask of a certificate.
func certificateValues(c *jobsvc.Certificate) map[string][]string {
	block, _ := pem.Decode([]byte(c.PEM))
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return policy.CertificateValues(cert, c.ID)
}
