package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"pullwatch/internal/pull"
)

// request is one pull to start: what is copied to where, and the id of the failed pull if this one is a retry.
type request struct {
	image, destination pull.ImageReference
	platforms          []string
	retryOf            *string
}

// target returns the reference at destination that the image is copied to.
func (r request) target(destination string) (pull.ImageReference, error) {
	if len(r.platforms) > 0 {
		return r.image.PlatformsAt(destination)
	}
	return r.image.At(destination)
}

func (r request) route() pull.Route {
	return (&pull.State{Image: r.image, Destination: r.destination, Platforms: r.platforms}).Route()
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// jobName returns the name of the Job of a route's pull with the number n, which is the pull's id. A retry is named like any other
// pull. A person recognizes the name in kubectl: the image's last path component and tag, a hash of the route, and n in base 36, as
// "nginx-1-27-0123abcd-tmx9p2".
//
// No two pulls have the same name: see nameHeld. Names of earlier versions have smaller numbers, so none comes again.
func jobName(r request, n int64) string {
	short := r.image.Repository[strings.LastIndexByte(r.image.Repository, '/')+1:]
	if r.image.Tag != nil {
		short += "-" + *r.image.Tag
	}
	short = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(short), "-"), "-")
	const longest = 36 // leaves room for the rest below the 63 characters of a label's value
	if len(short) > longest {
		short = strings.TrimRight(short[:longest], "-")
	}
	return fmt.Sprintf("%s-%s-%s", short, r.key()[:8], strconv.FormatInt(n, 36))
}

// firstNumber returns the number of a pull that starts now, if there is none with that name: the time in seconds. So replicas that
// start the same pull at the same moment mostly choose the same name, and only one of them can make the Job. Whoever finds the name
// of a pull that has ended takes the next number.
func firstNumber(now time.Time) int64 { return now.Unix() }

// maxClockSkew is how far the clocks of two replicas may differ.
const maxClockSkew = 2 * time.Second

// nameHeld returns for how long a Job must not be deleted, so that nobody makes another Job of its name: until its number is in the
// past on every replica. It is 0 from then on, and for names that jobName does not make at this time.
func nameHeld(name string, now time.Time) time.Duration {
	const longest = time.Minute
	n, err := strconv.ParseInt(name[strings.LastIndexByte(name, '-')+1:], 36, 64)
	if err != nil {
		return 0
	}
	if left := time.Unix(n+1, 0).Add(maxClockSkew).Sub(now); left > 0 && left < longest {
		return left
	}
	return 0
}

// key returns the value of labelKey: a hash of the route.
func (r request) key() string {
	route := r.route()
	text := route.Image + "\n" + route.Destination
	if route.Platforms != "" {
		text += "\n" + route.Platforms
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
