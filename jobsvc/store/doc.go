// Package store keeps the domain's records on a kv.DB: keys, indexes, codec and
// stored timers. It is a concrete type over the small contract of package kv, and
// the only place that knows how anything is spelled on disk.
//
// A Store knows records, not rules: what an operation means is decided in engine.
//
// # Layout
//
// A key is a tag byte and order-preserving fields: names end in 0x00, integers are
// big-endian, times are nanoseconds since the epoch. keys.go has them all, with the
// scope each belongs to; a golden test pins their bytes.
//
// A thing's pending executions live together in one record, its queue (tag q):
// they are few, and so one read gives the queue whole, a progress report writes one
// key, and rolling out to a thing writes two. An ended execution moves to a key of
// its own (tag h).
package store
