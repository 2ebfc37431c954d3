package resolvers

import "pullwatch/graph"

// MaxComplexity bounds an operation: a field costs one, a list as much as its elements. It allows the longest list of
// failed pulls with all fields several times over.
const MaxComplexity = 50_000

// assumedActive is how many elements a list of active pulls is taken to have.
const assumedActive = 100

// complexity returns what the fields cost that do not cost one.
func complexity() graph.ComplexityRoot {
	var c graph.ComplexityRoot
	c.Query.ActivePulls = func(each int) int { return assumedActive * each }
	c.Query.FailedPulls = func(each, limit int) int { return min(max(limit, 1), maxFailed) * each }
	return c
}
