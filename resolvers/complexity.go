package resolvers

import (
	"pullwatch/graph"
	"pullwatch/internal/podlog"
	"pullwatch/internal/pull"
)

const (
	// maxComplexity bounds an operation. A field costs one, a list as much as its elements. It allows nearly two of the longest
	// lists of failed pulls with all fields.
	maxComplexity = 50_000
	// wholePull is the cost of a pull with all fields, some of them twice.
	wholePull = 70
)

// longField is the cost of a field that is as long as several others.
const longField = 5

// perActive stands in costs for the cost 1 of each active pull. gqlgen adds up the cost of a document once, when it is not known
// how many pulls will be active as the document is executed.
const perActive = 1 << 32

// costs returns the costs of the fields that do not cost one.
func costs() graph.ComplexityRoot {
	var c graph.ComplexityRoot
	c.Query.ActivePulls = func(each int) int { return perActive * each }
	c.Query.FailedPulls = func(each int, limit *int) int { return min(max(*limit, 1), maxFailed) * each }
	c.PullFailure.LogTail = func(int) int { return pull.MaxLogTail }
	c.PodLogBatch.Lines = func(each int) int { return podlog.MaxBatchLines * each }
	c.LogLine.Message = func(int) int { return longField }
	return c
}

// Complexity returns what an operation costs while so many pulls are active, and what it may cost. However long the list of active
// pulls is, a client can ask for all of it once. sum is the cost that gqlgen calculates for a schema of NewSchema.
func Complexity(sum, activePulls int) (cost, allowed int) {
	// Fewer count as a hundred: the list may grow before it is read.
	activePulls = max(activePulls, 100)
	return sum%perActive + sum/perActive*activePulls, maxComplexity + wholePull*activePulls
}
