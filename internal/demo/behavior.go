package demo

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"pullwatch/internal/pull"
)

// Behavior is what happens to the pull of an image with a certain word in its repository or tag.
type Behavior struct {
	Word string
	// Description tells people what happens, in one phrase.
	Description string
	// Reason is why the pull fails in the end. It is empty for a pull that succeeds.
	Reason pull.FailureReason

	scenario
}

// scenario is how a pull differs from an ordinary one, which is the zero scenario.
type scenario struct {
	// failures is how many attempts fail. exit is their exit code.
	failures int
	exit     int32
	// passing is why attempts fail when a later one succeeds.
	passing pull.FailureReason
	// message is the copier's error. It may hold {host}, {image}, {repository}, {tag} and {destination}.
	message string
	// failAt is the share of the image that is copied when an attempt fails, 0 to 1. At 0 not even its size is known.
	failAt float64
	// copying is how long copying takes. 0 means as long as the image's size needs.
	copying time.Duration
	// deadline replaces the Job's own deadline, which is too long for a demo.
	deadline time.Duration
	// At failAt, stalls makes the copier hang, panics makes it crash, and vanishes deletes its Job. Without these it fails
	// with message.
	stalls, panics, vanishes bool
	// The pod never runs: there is no node for it, or no copier image.
	unschedulable, noCopier bool
}

const always = math.MaxInt

// behaviors are all words, with their documentation and what the simulation plays for them.
var behaviors = []Behavior{
	{"missing", "is not found in its registry", pull.NotFound, scenario{
		failures: always, exit: pull.ExitPermanent,
		message: "The source registry {host} does not have {image}: MANIFEST_UNKNOWN: manifest unknown; unknown tag={tag}",
	}},
	{"private", "needs credentials that pullwatch does not have", pull.Unauthorized, scenario{
		failures: always, exit: pull.ExitPermanent,
		message: "The source registry {host} does not give {image} without credentials, or does not have it: UNAUTHORIZED: " +
			"authentication required; [map[Action:pull Class: Name:{repository} Type:repository]]",
	}},
	{"limited", "runs into its registry's rate limit on every attempt", pull.RateLimited, scenario{
		failures: always, exit: pull.ExitTransient,
		message: "The source registry {host} limits how often it may be asked: TOOMANYREQUESTS: You have reached your " +
			"unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
	}},
	{"flaky", "loses its connection half way; the second attempt succeeds", "", scenario{
		failures: 1, exit: pull.ExitTransient, passing: pull.Network, failAt: 0.55, copying: 9 * time.Second,
		message: "The source registry {host} cannot be reached: read tcp 10.244.1.17:48122->203.0.113.7:443: read: " +
			"connection reset by peer",
	}},
	{"offline", "cannot reach its registry on any attempt", pull.Network, scenario{
		failures: always, exit: pull.ExitTransient,
		message: "The source registry {host} cannot be reached: dial tcp: lookup {host} on 10.96.0.10:53: no such host",
	}},
	{"badcert", "meets a certificate that nobody trusts", pull.TLS, scenario{
		failures: always, exit: pull.ExitPermanent,
		message: "The source registry {host} cannot be spoken to securely: tls: failed to verify certificate: x509: " +
			"certificate signed by unknown authority",
	}},
	{"full", "finds the destination's disk full", pull.DiskFull, scenario{
		failures: always, exit: pull.ExitTransient, failAt: 0.4, copying: 5 * time.Second,
		message: "The destination registry has no space left: UNKNOWN: unknown error; write {destination}: " +
			"no space left on device",
	}},
	{"noplatform", "has nothing for the platform", pull.NoPlatform, scenario{
		failures: always, exit: pull.ExitPermanent,
		message: "The source registry {host} has nothing to copy in {image}: the index has no manifests",
	}},
	{"invalid", "is in a form that cannot be copied", pull.Invalid, scenario{
		failures: always, exit: pull.ExitPermanent,
		message: "The source registry {host} has {image} in a form that cannot be copied: unsupported media type " +
			"application/vnd.docker.distribution.manifest.v1+prettyjws",
	}},
	{"broken", "crashes the copier on every attempt", pull.Unknown, scenario{
		failures: always, exit: 2, failAt: 0.2, copying: 5 * time.Second, panics: true,
	}},
	{"slow", "crawls, and succeeds after about 20 seconds", "", scenario{copying: 18 * time.Second}},
	{"stuck", "stops moving until its deadline passes, after 18 seconds", pull.Timeout, scenario{
		failures: always, failAt: 0.43, copying: 10 * time.Second, deadline: 18 * time.Second, stalls: true,
	}},
	{"unschedulable", "finds no node to run on until its deadline passes, after 16 seconds", pull.Unschedulable, scenario{
		deadline: 16 * time.Second, unschedulable: true,
	}},
	{"badimage", "misses the image of the copier itself until its deadline, after 16 seconds", pull.CopierImage, scenario{
		deadline: 16 * time.Second, noCopier: true,
	}},
	{"lost", "has its Job deleted by somebody else half way", pull.Lost, scenario{
		failures: always, failAt: 0.5, copying: 10 * time.Second, vanishes: true,
	}},
}

// demoPlatforms are the platforms of every image.
var demoPlatforms = []string{"linux/amd64", "linux/arm64"}

// on returns what happens to a pull of some platforms, nil for all. It fails if an image does not have one of them.
func (b Behavior) on(platforms []string) Behavior {
	var lacks []string
	for _, platform := range platforms {
		if !slices.Contains(demoPlatforms, platform) {
			lacks = append(lacks, platform)
		}
	}
	if lacks == nil || b.Word != "" {
		return b
	}
	b.Reason = pull.NoPlatform
	b.scenario = scenario{failures: always, exit: pull.ExitPermanent,
		message: "The source registry {host} does not have {image} for every platform that was asked for: it lacks " +
			strings.Join(lacks, ", ") + "; it has " + strings.Join(demoPlatforms, ", ")}
	return b
}

// Behaviors returns all words that decide what happens to a pull. An image without any of them is copied.
func Behaviors() []Behavior { return slices.Clone(behaviors) }

// behaviorOf returns what happens to pulls of an image.
func behaviorOf(image string) Behavior {
	_, path, _ := strings.Cut(image, "/") // words in the registry's name do not count
	words := strings.FieldsFunc(path, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, b := range behaviors {
		if slices.Contains(words, b.Word) {
			return b
		}
	}
	return Behavior{}
}
