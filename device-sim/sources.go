package main

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
)

// sources are the local addresses a fleet connects from, in turn. One address has some 28,000 ports
// for connections to one broker; the loopback network has 16 million addresses.
type sources struct {
	all  []netip.Addr
	used atomic.Uint64
}

// newSources takes the first n addresses of a network, without the one that names it.
func newSources(network string, n int) (*sources, error) {
	p, err := netip.ParsePrefix(network)
	if err != nil {
		a, err2 := netip.ParseAddr(network)
		if err2 != nil {
			return nil, fmt.Errorf("--source: %w", err)
		}
		return &sources{all: []netip.Addr{a}}, nil
	}
	s := &sources{}
	for a := p.Masked().Addr().Next(); len(s.all) < n; a = a.Next() {
		if !p.Contains(a) {
			return nil, fmt.Errorf("--source: %s has no %d addresses", network, n)
		}
		s.all = append(s.all, a)
	}
	return s, nil
}

// next returns the address of the next connection, nil for whatever the system takes.
func (s *sources) next() net.Addr {
	if s == nil {
		return nil
	}
	a := s.all[(s.used.Add(1)-1)%uint64(len(s.all))]
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
}

// count is how many addresses connections come from.
func (s *sources) count() int {
	if s == nil {
		return 1
	}
	return len(s.all)
}
