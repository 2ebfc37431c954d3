// Package mirror copies one container image, with all its platforms or some of them, from one registry into another. It runs
// inside a pull's Job, and by hand as "pullwatch mirror SRC DST".
//
// A copy goes in three steps (copy.go). It reads the tree of manifests, so that the blobs and their total size are known exactly
// (tree.go, platform.go). It sends the blobs that the destination lacks, four at a time and streaming from registry to registry
// (send.go, blob.go). Then it puts the manifests, children first and the tag last, so that the destination never names
// something incomplete, and reads the image back (readback.go).
//
// Each registry has a client (client.go, transfer.go). Its requests pass a guard (transport.go), which decides what hosts they may
// go to (address.go, elsewhere.go, scheme.go) and ends those that hang (stall.go). The login is chosen in login.go.
//
// What fails for a passing reason is tried again (retry.go). A registry that limits requests answers 429 and may say with
// Retry-After how long to wait (retryafter.go). An error that is left becomes a failure (failure.go, classify.go, answer.go): a
// pull.FailureReason, whether a later attempt may succeed, and a message for people (message.go). What people can do about it
// is in FailureReason.Remedy.
package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"golang.org/x/term"

	"pullwatch/internal/pull"
)

// Options say what is copied.
type Options struct {
	// Source and Destination are references such as nginx:1.27, host:5000/app@sha256:… or host/app:1@sha256:…. In the
	// source a digest decides what is read. At the destination a tag is what is written; a digest must be the source's.
	Source, Destination string
	// InsecureRegistries are hosts, as host or host:port, whose certificates are not verified. Those that have no TLS are
	// asked over plain HTTP. All other hosts are asked over TLS, on the local host and in private networks too.
	InsecureRegistries []string
	// AllowPrivateHosts are hosts, as host or host:port, that registries may send the copier to although they are in a
	// private network and the registry is not.
	AllowPrivateHosts []string
	// Platforms are those that are copied, as pull.ParsePlatforms takes them, under an index of their own; nil for all.
	Platforms []string
	// Authorities are files in PEM, or directories of them, with certificate authorities to trust besides the system's.
	Authorities []string
}

// Command copies an image and returns the exit code for the process: pull.ExitDone, pull.ExitTransient or
// pull.ExitPermanent. It reports on stdout what it does: with a progress bar on a terminal, else with one pull.Report a
// line. It writes how the copy ended, as a pull.Outcome, to the file terminationLog, unless that is empty. It returns soon
// after ctx ends. Credentials are those of the Docker configuration (DOCKER_CONFIG).
func Command(ctx context.Context, opts Options, stdout *os.File, terminationLog string) int {
	var out reporter = reportLines{stdout}
	if fd := int(stdout.Fd()); term.IsTerminal(fd) {
		out = &bar{out: stdout, width: func() int {
			width, _, err := term.GetSize(fd)
			if err != nil {
				return defaultWidth
			}
			return width
		}}
	}
	return command(ctx, opts, newHTTPTransport(), out, terminationLog)
}

func command(ctx context.Context, opts Options, base *http.Transport, out reporter, terminationLog string) int {
	meter := newMeter(out)
	outcome, err := copyImage(ctx, opts, base, meter)
	code, message := pull.ExitDone, successMessage(opts, outcome)
	if err != nil {
		failed := classify(err)
		outcome.Reason, outcome.Message, outcome.Side, message = failed.reason, failed.message, failed.side, failed.message
		code = pull.ExitTransient
		if failed.permanent {
			code = pull.ExitPermanent
		}
	}
	if terminationLog != "" {
		if err := writeOutcome(terminationLog, outcome); err != nil {
			meter.event(fmt.Sprintf("The outcome could not be written: %v", err))
		}
	}
	// The last line is always how it ended: people and log tails look there.
	meter.event(message)
	return code
}

func successMessage(opts Options, outcome pull.Outcome) string {
	message := fmt.Sprintf("%s (%s)", outcome.Did(" to "+opts.Destination), outcome.Digest)
	if notes := outcome.Notes(); notes != "" {
		message += ". " + notes
	}
	if outcome.Held != "" {
		message += ". " + pull.Replaced(outcome.Held)
	}
	return message
}

// maxOutcome is how much of a termination message Kubernetes keeps.
const maxOutcome = 4096

func writeOutcome(file string, outcome pull.Outcome) error {
	encoded, err := encodeOutcome(outcome)
	if err != nil {
		return err
	}
	// The kubelet has made the file already, and in a read-only container it cannot be replaced, only written to.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(encoded)
	return errors.Join(err, f.Close())
}

// encodeOutcome shortens the registries' words until the JSON fits, in which a byte can become six. JSON that Kubernetes has cut
// could not be read at all.
func encodeOutcome(outcome pull.Outcome) ([]byte, error) {
	encoded, err := json.Marshal(outcome)
	for err == nil && len(encoded) > maxOutcome && outcome.Message+outcome.Unconfirmed != "" {
		for _, said := range []*string{&outcome.Message, &outcome.Unconfirmed} {
			*said = pull.Truncate(*said, len(*said)*3/4)
		}
		encoded, err = json.Marshal(outcome)
	}
	return encoded, err
}
