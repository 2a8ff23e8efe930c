//go:build !unix

package main

// checkFileLimit has nothing to check: there is no limit of open files here.
func checkFileLimit(devices, downloads int, keep bool) error { return nil }
