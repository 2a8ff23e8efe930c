package engine

import "context"

// UnsettleActive is what Run begins with.
func (e *Engine) UnsettleActive(ctx context.Context) error { return e.unsettleActive(ctx) }
