//go:build !race

package broker

const raceFrames = 0
