//go:build race

package sharedlog

// Steps are taken one by one, so the race detector has nothing to find there, and makes each take twenty times as long.
const shallower = 1
