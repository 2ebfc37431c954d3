package graphqlhttp

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
)

// Options say how a [Transport] behaves. The zero value of each field means its default.
type Options struct {
	// BodyLimit is the longest body that a request may have, in bytes: 1 MiB by default.
	BodyLimit int64

	// CheckOrigin reports whether the page that sends a request may send a GET or open a stream. By default it allows pages of
	// the request's own host, and requests that no page sends.
	CheckOrigin func(*http.Request) bool
	// OriginRefused returns the message for a request that its page may not send. By default it says no more than that.
	OriginRefused func(*http.Request) string
	// Caller returns the caller that a request counts for in MaxStreamsPerCaller and Turns (see package caller). By
	// default all requests count for the same.
	Caller func(*http.Request) string
	// MaxStreams is how many streams there may be: 20,000 by default.
	MaxStreams int
	// MaxStreamsPerCaller is how many streams one caller may have: MaxStreams by default.
	MaxStreamsPerCaller int
	// KeepAlive is how long a stream may be silent before a comment is sent on it: 12 s by default. The comment keeps
	// proxies from closing the connection, and shows whether the client is still there. Multipart responses get an empty
	// part instead, after 5 s at most.
	KeepAlive time.Duration
	// WriteTimeout is how long the client of a stream may take to accept one event or part: 10 s by default. It replaces the
	// http.Server's WriteTimeout, which is for whole responses.
	WriteTimeout time.Duration

	// Memory returns the account for the memory of a request: its body, what its JSON becomes, and its response until that
	// is written. The Transport closes it. A request that does not fit is refused with 503. By default nothing counts.
	Memory func(*http.Request) *budget.Account
	// Turns are for parsing long requests. Without them a caller that sends many delays all others.
	Turns *turns.Turns

	// Generation returns a number that is another one when requests with the same text may get another answer than before for
	// a reason of their own, such as documents that were renamed. What [Repeat] was given before is then forgotten. Every
	// request waits for it. By default it is always the same.
	Generation func() uint64

	// Observer is told what happens, for metrics.
	Observer Observer
}

// An Observer is told what happens. Its methods are called by many goroutines at a time and must not block.
type Observer interface {
	// Responded is called for each response that is not a stream, with its status and how many bytes its body had on
	// the wire. The status is 304 if the client has the response already.
	Responded(status, bytes int)
	// Refused is called before Responded for each request that gets an error of this package. code is in the error's
	// extensions.
	Refused(code usererr.Code)
	// Repeated is called before Responded for each request that a function given to [Repeat] has answered. operation is
	// the operation's name, document what the operation had for transport.StatDocument in its Stats. took is how long the
	// function took.
	Repeated(operation string, document any, took time.Duration)
	// StreamOpened is called when a stream begins, StreamClosed when nothing of it is left.
	StreamOpened()
	StreamClosed()
	// Sent is called for each event or part of a stream, with its size and how long the connection took to accept it.
	Sent(bytes int, took time.Duration)
}

type noObserver struct{}

func (noObserver) Responded(int, int)                  {}
func (noObserver) Refused(usererr.Code)                {}
func (noObserver) Repeated(string, any, time.Duration) {}
func (noObserver) StreamOpened()                       {}
func (noObserver) StreamClosed()                       {}
func (noObserver) Sent(int, time.Duration)             {}

func (o Options) withDefaults() Options {
	o.BodyLimit = cmp.Or(o.BodyLimit, 1<<20)
	o.MaxStreams = cmp.Or(o.MaxStreams, 20_000)
	o.MaxStreamsPerCaller = cmp.Or(o.MaxStreamsPerCaller, o.MaxStreams)
	o.KeepAlive = cmp.Or(o.KeepAlive, 12*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	if o.CheckOrigin == nil {
		o.CheckOrigin = sameHost
	}
	if o.OriginRefused == nil {
		o.OriginRefused = func(*http.Request) string { return "pages of other origins may not send GETs or open streams here" }
	}
	if o.Caller == nil {
		o.Caller = func(*http.Request) string { return "" }
	}
	if o.Memory == nil {
		o.Memory = func(*http.Request) *budget.Account { return nil }
	}
	if o.Generation == nil {
		o.Generation = func() uint64 { return 0 }
	}
	if o.Observer == nil {
		o.Observer = noObserver{}
	}
	return o
}

// sameHost is the default of Options.CheckOrigin.
func sameHost(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}
