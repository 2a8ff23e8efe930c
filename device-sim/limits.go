package main

import (
	"fmt"
	"os"
)

// checkLimits tells before the start what the system will not allow, and what to do about it.
func (s settings) checkLimits(members []member) error {
	if err := checkFileLimit(len(members), min(s.maxDownloads, len(members)), s.keep != ""); err != nil {
		return err
	}
	return checkPorts(len(members), s.sources.count(), portRange())
}

// portRange returns how many local ports the system gives to connections from one address; 0 for
// unknown.
func portRange() int {
	var first, last int
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil || last < first {
		return 0
	}
	return last - first + 1
}

func checkPorts(devices, addresses, ports int) error {
	if ports == 0 || devices <= addresses*ports {
		return nil
	}
	return fmt.Errorf("%d devices need more than the %d local ports of %d address(es): "+
		"connect from more (--source 127.0.0.0/8 --sources %d on the loopback network), "+
		"widen net.ipv4.ip_local_port_range, or use fewer (--count)",
		devices, ports, addresses, (devices+ports-1)/ports)
}
