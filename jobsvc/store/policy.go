package store

import (
	"context"
	"slices"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// PolicyScope is the scope of a policy.
func PolicyScope(name string) kv.Scope { return policyScope(name) }

// Policy reads the policy of the transaction's scope.
func (t *Tx) Policy(name string) (*jobsvc.Policy, error) {
	b, err := t.get(newKey(tagPolicy, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Policy](b)
}

// PutPolicy writes a policy.
func (t *Tx) PutPolicy(p *jobsvc.Policy) {
	t.tx.Put(newKey(tagPolicy, p.Name), encodeJSON(p))
	t.putByTime(kindPolicy, p.CreatedAt, p.Name)
}

// DeletePolicy takes a policy away. Its versions are to be gone.
func (t *Tx) DeletePolicy(p *jobsvc.Policy) {
	t.tx.Delete(newKey(tagPolicy, p.Name))
	t.deleteByTime(kindPolicy, p.CreatedAt, p.Name)
}

// PolicyDocumentFits tells whether a record has room for a document. Characters beyond
// ASCII, and those that JSON escapes, take more room than one byte.
func PolicyDocumentFits(document string) bool {
	const others = 256 // what else is in the record
	return len(encodeJSON(document))+others <= kv.MaxValueBytes
}

// PutPolicyVersion writes a version of the transaction's policy.
func (t *Tx) PutPolicyVersion(name string, v *jobsvc.PolicyVersion) {
	t.tx.Put(newKey(tagPolicyVersion, name).uint(uint64(v.Number)), encodeJSON(v))
}

// DeletePolicyVersion takes a version away.
func (t *Tx) DeletePolicyVersion(name string, number int64) {
	t.tx.Delete(newKey(tagPolicyVersion, name).uint(uint64(number)))
}

// PolicyVersions gives the numbers of the versions of the transaction's policy, oldest
// first.
func (t *Tx) PolicyVersions(name string) (numbers []int64, err error) {
	prefix := newKey(tagPolicyVersion, name)
	items, err := t.tx.Scan(kv.Prefix(prefix, scanAll))
	for _, it := range items {
		c := cursor{it.Key[len(prefix):], true}
		numbers = append(numbers, int64(c.uint()))
	}
	return numbers, err
}

// PolicyVersion reads a version of a policy; nil when there is none.
func (s *Store) PolicyVersion(ctx context.Context, name string, number int64) (*jobsvc.PolicyVersion, error) {
	b, err := s.get(ctx, newKey(tagPolicyVersion, name).uint(uint64(number)))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.PolicyVersion](b)
}

// PolicyVersions reads the versions of a policy, newest first.
func (s *Store) PolicyVersions(ctx context.Context, name string) (versions []jobsvc.PolicyVersion, err error) {
	_, err = s.page(ctx, kv.Prefix(newKey(tagPolicyVersion, name), 100), -1, func(it kv.Item) (bool, error) {
		v, err := decodeJSON[jobsvc.PolicyVersion](it.Value)
		if err == nil {
			versions = append(versions, *v)
		}
		return true, err
	})
	slices.Reverse(versions)
	return versions, err
}

// AttachPolicy attaches the transaction's policy to a target: the ARN of a
// certificate or a thing group.
func (t *Tx) AttachPolicy(name, target string) {
	t.tx.Put(newKey(tagAttached, target, name), []byte{})
	t.tx.Put(newKey(tagPolicyTarget, name, target), []byte{})
}

// DetachPolicy detaches the transaction's policy from a target.
func (t *Tx) DetachPolicy(name, target string) {
	t.tx.Delete(newKey(tagAttached, target, name))
	t.tx.Delete(newKey(tagPolicyTarget, name, target))
}

// PolicyAttached tells whether the transaction's policy is attached to anything.
func (t *Tx) PolicyAttached(name string) (bool, error) {
	items, err := t.tx.Scan(kv.Prefix(newKey(tagPolicyTarget, name), 1))
	return len(items) > 0, err
}

// Policy reads a policy.
func (s *Store) Policy(ctx context.Context, name string) (*jobsvc.Policy, error) {
	b, err := s.get(ctx, newKey(tagPolicy, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Policy](b)
}

// ListPolicies lists policies by time of creation. next is where the list goes on; nil
// at the end.
func (s *Store) ListPolicies(ctx context.Context, ascending bool, from TimeCursor, limit int) ([]jobsvc.Policy, *TimeCursor, error) {
	names, next, err := s.byTime(ctx, kindPolicy, ascending, from, limit)
	if err != nil {
		return nil, nil, err
	}
	policies, err := records[jobsvc.Policy](ctx, s, tagPolicy, names)
	return policies, next, err
}

// PoliciesOf lists the names of the policies attached to a target.
func (s *Store) PoliciesOf(ctx context.Context, target, afterName string, limit int) (names []string, next string, err error) {
	return listKeys(ctx, s, newKey(tagAttached, target), afterName, limit)
}

// TargetsOf lists the ARNs that a policy is attached to.
func (s *Store) TargetsOf(ctx context.Context, policy, afterTarget string, limit int) (targets []string, next string, err error) {
	return listKeys(ctx, s, newKey(tagPolicyTarget, policy), afterTarget, limit)
}
