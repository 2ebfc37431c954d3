package pull

import "time"

// ContainerName is the name of the container, in a pull's pod, that copies the image.
const ContainerName = "copier"

// Exit codes of the copier. Any other code than these means that it was killed or crashed, and is tried again.
const (
	ExitDone = 0
	// ExitTransient means that another attempt may succeed.
	ExitTransient = 1
	// ExitPermanent means that no attempt will ever succeed, so the pull fails at once.
	ExitPermanent = 3
)

// Report is one line of the copier's log, as JSON: what it does now and how far it has come. The copier writes one a
// second while bytes move and one whenever something else happens.
type Report struct {
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	// BytesDone counts bytes that need no more work; it never falls within an attempt.
	BytesDone int64 `json:"bytesDone"`
	// BytesTotal is nil until all manifests have been read.
	BytesTotal *int64 `json:"bytesTotal,omitempty"`
	// BytesPerSecond is averaged over the last seconds, 0 while nothing moves.
	BytesPerSecond int64 `json:"bytesPerSecond,omitempty"`
}

// Outcome is how an attempt ended, as the copier writes it, in JSON, to its termination message. It is kept below the
// 4096 bytes that Kubernetes keeps of it.
type Outcome struct {
	// Digest of what stands at the destination, verified; empty when the attempt failed.
	Digest string `json:"digest,omitempty"`
	// BytesTotal counts all bytes of all blobs, BytesCopied those that had to be sent.
	BytesTotal  int64 `json:"bytesTotal,omitempty"`
	BytesCopied int64 `json:"bytesCopied,omitempty"`
	// Reason and Message say why the attempt failed; both are empty when it succeeded.
	Reason  FailureReason `json:"reason,omitempty"`
	Message string        `json:"message,omitempty"`
}
