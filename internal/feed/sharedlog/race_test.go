//go:build race

package sharedlog

// The race detector finds nothing where steps are taken one by one, and makes each take twenty times as long.
const shallower = 1
