package engine

import "context"

// ReconnectGrace is how long members that were connected before a start have.
const ReconnectGrace = reconnectGrace

// ForgetConnections is what Run begins with.
func (e *Engine) ForgetConnections(ctx context.Context) error { return e.forgetConnections(ctx) }

// UnsettleActive comes next.
func (e *Engine) UnsettleActive() { e.unsettleActive() }

// WalkAgain is what the opening of a window does to a CONTINUOUS job's rollout.
var WalkAgain = walkAgain

// MaxFollowing is how many jobs may follow a target.
const MaxFollowing = maxFollowing

// MaxCompiledPolicies bounds the policies kept ready to be evaluated.
const MaxCompiledPolicies = maxCompiledPolicies

// CompiledPolicies is how many are.
func (e *Engine) CompiledPolicies() int {
	e.compiledPolicies.mu.Lock()
	defer e.compiledPolicies.mu.Unlock()
	return len(e.compiledPolicies.docs)
}
