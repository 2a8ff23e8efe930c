package main

import "context"

func fanOut(ctx context.Context, b *bench) ([]result, error)       { return nil, nil }
func idleMemory(ctx context.Context, b *bench) ([]result, error)   { return nil, nil }
func handshakes(ctx context.Context, b *bench) ([]result, error)   { return nil, nil }
func rollout(ctx context.Context, b *bench) ([]result, error)      { return nil, nil }
func controlPlane(ctx context.Context, b *bench) ([]result, error) { return nil, nil }
func restart(ctx context.Context, b *bench) ([]result, error)      { return nil, nil }
func growth(ctx context.Context, b *bench) ([]result, error)       { return nil, nil }
