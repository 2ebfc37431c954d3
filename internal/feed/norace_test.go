//go:build !race

package feed

const shallower = 0
