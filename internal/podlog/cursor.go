package podlog

import (
	"hash/fnv"
	"time"
)

// cursor is where a stream stands, for every container that it has read or is to read.
type cursor struct {
	// target is a digest of what the stream is of.
	target uint64
	// begun is when the stream knew which containers it was to read, by this host's clock; zero before.
	begun time.Time
	marks map[sourceKey]mark
}

// sourceKey names a container of a pod.
type sourceKey uint64

func newSourceKey(podUID, container string) sourceKey { return sourceKey(digest(podUID, container)) }

// runKey names a run of a known container; 0 stands for none.
type runKey uint32

func newRunKey(id string) runKey {
	if id == "" {
		return 0
	}
	return runKey(digest(id)) | 1
}

// mark is how far a container has been read.
type mark struct {
	// run is the last run of which something was read, or that is to be read first.
	run runKey
	// restarts is that run's Run.Restarts.
	restarts int
	position position
	// done means that nothing more is to be read of the run, over that no other run will come.
	done, over bool
}

// digest is short enough for a cursor; its parts are separated by a byte that no name has.
func digest(parts ...string) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return h.Sum64()
}
