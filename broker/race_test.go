//go:build race

package broker

// raceFrames is 1 where frames are larger, and stacks with them.
const raceFrames = 1
