package resolvers

import (
	"pullwatch/graph"
	"pullwatch/internal/podlog"
	"pullwatch/internal/pull"
)

const (
	// maxComplexity bounds an operation: a field costs one, a list as much as its elements. It allows the longest list
	// of failed pulls with all fields nearly twice.
	maxComplexity = 50_000
	// wholePull is what a pull with all fields costs, and some of them twice.
	wholePull = 70
)

// longField is what a field costs that is as long as several others.
const longField = 5

// perActive is the cost, in what costs returns, of one for each active pull. How many there are when an operation is
// executed is not known where its cost is added up, which is once for a document.
const perActive = 1 << 32

// costs returns what the fields cost that do not cost one.
func costs() graph.ComplexityRoot {
	var c graph.ComplexityRoot
	c.Query.ActivePulls = func(each int) int { return perActive * each }
	c.Query.FailedPulls = func(each, limit int) int { return min(max(limit, 1), maxFailed) * each }
	c.PullFailure.LogTail = func(int) int { return pull.MaxLogTail }
	c.PodLogBatch.Lines = func(each int) int { return podlog.MaxBatchLines * each }
	c.LogLine.Message = func(int) int { return longField }
	return c
}

// Complexity returns what an operation costs while there are so many active pulls, and what it may cost: however long the
// list of active pulls is, all of it can be asked for once. sum is gqlgen's for a schema of NewSchema.
func Complexity(sum, activePulls int) (cost, allowed int) {
	// Shorter ones count as a hundred: the list can grow before it is read.
	activePulls = max(activePulls, 100)
	return sum%perActive + sum/perActive*activePulls, maxComplexity + wholePull*activePulls
}
