//go:build !sabotage

package broker

// sabotage does nothing but in test builds.
func (*notifier) sabotage(*queue, uint64, []byte) {}
