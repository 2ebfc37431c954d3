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

// jobName returns the name of the Job of a route's n-th pull, which is the pull's id. A retry is named like any other pull.
// A person recognizes the name in kubectl, and all replicas make the same: the image's last path component and tag, a hash of
// the route, and n. So "nginx-1-27-0123abcd-cdht4" is followed by "nginx-1-27-0123abcd-cdht5".
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

// firstNumber returns the number of a route's first pull of the day. Each day has its own numbers, so that the name of a Job
// that Kubernetes has deleted is not used again.
func firstNumber(now time.Time) int64 {
	const perDay = 1000
	return now.Unix() / int64(24*60*60) * perDay
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
