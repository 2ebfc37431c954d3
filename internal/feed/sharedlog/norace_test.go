//go:build !race

package sharedlog

const shallower = 0
