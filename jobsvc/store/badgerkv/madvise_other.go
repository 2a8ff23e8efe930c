//go:build !linux

package badgerkv

// adviser does something on Linux only.
type adviser struct{}

func newAdviser(string) *adviser { return &adviser{} }

func (*adviser) look() {}
