//go:build !race

package store

const checkShared = false
