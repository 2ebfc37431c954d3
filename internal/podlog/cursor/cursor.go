// Package cursor says how far the containers of a stream have been read, and finds that place in a log again.
//
// A Position names the last line that was read of a run's log; a run is one start of a container. A container's Progress is
// its run and the Position in the run's log. A Cursor is the Progress of all containers. A caller keeps it, as text, to go
// on from. It says what was read, not what is to be read, so that any process can go on from it. A Search finds a Position
// in a log that was opened again.
package cursor

import (
	"hash/fnv"
	"time"
)

// Cursor is how far a stream has been read, for every container that it has read or is to read.
type Cursor struct {
	// Target is a digest of the stream's target, so that a cursor is not used for another.
	Target uint64
	// Begun is when the stream knew which containers it begins with, by this host's clock; zero before.
	Begun      time.Time
	Containers map[ContainerKey]Progress
}

// ContainerKey identifies a container of a pod.
type ContainerKey uint64

// NewContainerKey returns the key of a container by its name.
func NewContainerKey(podUID, container string) ContainerKey {
	return ContainerKey(Digest(podUID, container))
}

// RunKey identifies a run of a known container; 0 stands for none.
type RunKey uint32

// NewRunKey returns the key of a run by its podlog.Run.ID; 0 when that is empty.
func NewRunKey(id string) RunKey {
	if id == "" {
		return 0
	}
	return RunKey(Digest(id)) | 1
}

// Progress is how far a container has been read.
type Progress struct {
	// Run is the last run of which something was read, or the first one to read.
	Run RunKey
	// Restarts is podlog.Run.Restarts of Run.
	Restarts int
	Position Position
	// Done means that Run was read to its end. Over means that no other run will follow.
	Done, Over bool
}

// Digest returns a digest of parts, none of which has a zero byte. It is short, so that cursors are.
func Digest(parts ...string) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return h.Sum64()
}
