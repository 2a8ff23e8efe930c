//go:build !linux

package badgerkv

func adviceGiven(*adviser) int { return 0 }
