package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"pullwatch/internal/pull"
)

// tick is how often a copier reports its progress.
const tick = 500 * time.Millisecond

// crashLog is the log of a copier that crashes.
const crashLog = `panic: runtime error: index out of range [3] with length 3

goroutine 41 [running]:
pullwatch/mirror.(*tree).walk(0xc0003f2a80, {0xc0004b6000, 0x3, 0x4})
	/src/mirror/tree.go:118 +0x2f4
pullwatch/mirror.Copy.func2()
	/src/mirror/copy.go:131 +0x85
created by golang.org/x/sync/errgroup.(*Group).Go in goroutine 1
	/go/pkg/mod/golang.org/x/sync/errgroup/errgroup.go:93 +0x50
`

// copy plays the copier. It writes the log and returns how the attempt ends.
func (p *player) copy(ctx context.Context, log io.Writer, fails bool) (pull.Outcome, int32, error) {
	r := reporter{player: p, log: log}
	if err := r.say("Reading manifests of " + p.image.reference); err != nil {
		return pull.Outcome{}, 0, err
	}
	if err := p.wait(ctx, 700*time.Millisecond); err != nil {
		return pull.Outcome{}, 0, err
	}
	if fails && p.behavior.failAt == 0 {
		return r.fail()
	}
	r.total, r.found = &p.image.size, p.image.digest
	r.done = max(p.copied, p.image.size-p.image.toCopy())
	plan := fmt.Sprintf("Copying %s in %d blobs", pull.FormatBytes(p.image.size), len(p.image.blobs))
	if err := r.say(plan); err != nil {
		return pull.Outcome{}, 0, err
	}
	goal := p.image.size
	if fails {
		goal = max(r.done, int64(p.behavior.failAt*float64(p.image.size)))
	}
	if err := r.copyUntil(ctx, goal); err != nil {
		return pull.Outcome{}, 0, err
	}
	p.copied = r.done
	if fails {
		return p.misfortune(ctx, &r)
	}
	copied := p.image.toCopy()
	digest := p.image.digestFor(p.platforms)
	message := fmt.Sprintf("Copied %s to %s (%s)", pull.FormatBytes(copied), p.destination, digest)
	if err := r.say(message); err != nil {
		return pull.Outcome{}, 0, err
	}
	return pull.Outcome{Digest: digest, Image: p.image.digest, BytesTotal: p.image.size, BytesCopied: copied}, pull.ExitDone, nil
}

// misfortune ends an attempt before all is copied, as the scenario says.
func (p *player) misfortune(ctx context.Context, r *reporter) (pull.Outcome, int32, error) {
	switch {
	case p.behavior.stalls:
		if err := p.wait(ctx, 5*time.Second); err != nil {
			return pull.Outcome{}, 0, err
		}
		if err := r.say("Nothing has arrived for 5 s"); err != nil {
			return pull.Outcome{}, 0, err
		}
		return pull.Outcome{}, 0, p.untilDeadline(ctx)
	case p.behavior.vanishes:
		if err := p.cluster.deleteJob(ctx, p.job); err != nil {
			return pull.Outcome{}, 0, err
		}
		// Deleting the Job ends this simulation, too.
		<-ctx.Done()
		return pull.Outcome{}, 0, ctx.Err()
	case p.behavior.panics:
		_, err := io.WriteString(r.log, crashLog)
		return pull.Outcome{}, p.behavior.exit, err
	}
	return r.fail()
}

// reporter writes the copier's log.
type reporter struct {
	*player
	log   io.Writer
	done  int64
	total *int64
	speed int64
	// found is the image's digest. It is empty until it is known.
	found string
}

func (r *reporter) say(message string) error {
	_, err := fmt.Fprintln(r.log, pull.Report{
		Time: r.now(), Message: message, BytesDone: r.done, BytesTotal: r.total, BytesPerSecond: r.speed, Image: r.found,
	})
	return err
}

// fail ends the attempt with the scenario's failure.
func (r *reporter) fail() (pull.Outcome, int32, error) {
	r.speed = 0
	message := r.image.fill(r.behavior.message, r.destination)
	reason := cmp.Or(r.behavior.passing, r.behavior.Reason)
	side := pull.SourceSide
	if strings.HasPrefix(message, "The destination") {
		side = pull.DestinationSide
	}
	return pull.Outcome{Reason: reason, Message: message, Side: side}, r.behavior.exit, r.say(message)
}

// copyUntil copies until goal bytes are done. At its speed the whole image takes as long as the scenario says.
func (r *reporter) copyUntil(ctx context.Context, goal int64) error {
	const perCycle = 8
	average := float64(r.image.size) * tick.Seconds() / r.behavior.copying.Seconds()
	for i := 0; r.done < goal; i++ {
		if err := r.wait(ctx, tick); err != nil {
			return err
		}
		// The speed of a real network varies.
		wave := 0.75 + 0.5*float64(i*3%perCycle)/(perCycle-1)
		moved := min(max(int64(average*wave), 1), goal-r.done)
		r.done += moved
		r.speed = int64(average * wave / tick.Seconds())
		number, blob := r.current()
		if err := r.say(fmt.Sprintf("Copying blob %d of %d, %.19s (%s)", number, len(r.image.blobs), blob.digest,
			pull.FormatBytes(blob.size))); err != nil {
			return err
		}
	}
	r.speed = 0
	return nil
}

// current returns the blob that is being copied, and its number.
func (r *reporter) current() (int, blob) {
	left := r.done
	for i, b := range r.image.blobs {
		if left -= b.size; left <= 0 {
			return i + 1, b
		}
	}
	return len(r.image.blobs), r.image.blobs[len(r.image.blobs)-1]
}
