//go:build race

package store

// checkShared makes tests under the race detector find who changes what is shared.
const checkShared = true
