// Package cursor says how far the containers of a stream have been read, and finds that place in a log again.
//
// A Position names the last line that was read of a run's log. A container's Progress is its run and the Position there.
// A Cursor is the Progress of all containers, and what a caller keeps to go on from. It says what was read, not what is
// to be read, so that any process can go on from it.
package cursor

import (
	"hash/fnv"
	"time"
)

// Cursor is where a stream stands, for every container that it has read or is to read.
type Cursor struct {
	// Target is a digest of what the stream is of.
	Target uint64
	// Begun is when the stream knew which containers it was to read, by this host's clock; zero before.
	Begun      time.Time
	Containers map[ContainerKey]Progress
}

// ContainerKey names a container of a pod.
type ContainerKey uint64

func NewContainerKey(podUID, container string) ContainerKey {
	return ContainerKey(Digest(podUID, container))
}

// RunKey names a run of a known container; 0 stands for none.
type RunKey uint32

func NewRunKey(id string) RunKey {
	if id == "" {
		return 0
	}
	return RunKey(Digest(id)) | 1
}

// Progress is how far a container has been read.
type Progress struct {
	// Run is the last run of which something was read, or that is to be read first.
	Run RunKey
	// Restarts is that run's Run.Restarts.
	Restarts int
	Position Position
	// Done means that this run has been read to its end, Over that no other run will follow.
	Done, Over bool
}

// Digest is short enough for a cursor; its parts are separated by a byte that no name has.
func Digest(parts ...string) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return h.Sum64()
}
