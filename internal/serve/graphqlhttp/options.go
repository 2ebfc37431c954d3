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

	// CheckOrigin reports whether the page that a request comes from may open a stream. By default only pages of the
	// request's own host may, and what is no page.
	CheckOrigin func(*http.Request) bool
	// ClientAddress returns the address that a stream counts for in MaxStreamsPerAddress. By default all count for the
	// same.
	ClientAddress func(*http.Request) string
	// MaxStreams is how many streams there may be: 20,000 by default.
	MaxStreams int
	// MaxStreamsPerAddress is how many streams one client address may have: MaxStreams by default.
	MaxStreamsPerAddress int
	// KeepAlive is how long a stream may be silent before a comment is sent on it: 12 s by default. It keeps proxies
	// from closing the connection, and shows whether there is still somebody at the other end.
	KeepAlive time.Duration
	// WriteTimeout is how long a stream's reader may take to accept one event: 10 s by default. It replaces the
	// http.Server's WriteTimeout, which is for whole responses.
	WriteTimeout time.Duration

	// Memory returns the account that counts what a request takes: its body, what its JSON becomes, its response until
	// it is written. The Transport closes it. What does not fit is refused with 503. By default nothing counts.
	Memory func(*http.Request) *budget.Account
	// Turns are those in which long requests are read, by ClientAddress: without them a client who sends many keeps the
	// others waiting.
	Turns *turns.Turns

	// Observer is told what happens, for metrics.
	Observer Observer
}

// An Observer is told what happens. Its methods are called by many goroutines at a time and must not block.
type Observer interface {
	// Responded is called for each response that is not a stream, with its status and how many bytes its body had on
	// the wire. A repeated query that had not changed has the status 304.
	Responded(status, bytes int)
	// Refused is called for each request that is answered with an error of this package's own, before Responded, with what
	// is in the error's extensions.code.
	Refused(code usererr.Code)
	// Repeated is called for each request that a function given to [Repeat] has answered, before Responded, with the name
	// of its operation and how long the answer took to find.
	Repeated(operation string, took time.Duration)
	// StreamOpened is called when a stream begins, StreamClosed when nothing of it is left.
	StreamOpened()
	StreamClosed()
	// Sent is called for each event of a stream, with its size and how long the connection took to accept it.
	Sent(bytes int, took time.Duration)
}

type noObserver struct{}

func (noObserver) Responded(int, int)             {}
func (noObserver) Refused(usererr.Code)           {}
func (noObserver) Repeated(string, time.Duration) {}
func (noObserver) StreamOpened()                  {}
func (noObserver) StreamClosed()                  {}
func (noObserver) Sent(int, time.Duration)        {}

func (o Options) withDefaults() Options {
	o.BodyLimit = cmp.Or(o.BodyLimit, 1<<20)
	o.MaxStreams = cmp.Or(o.MaxStreams, 20_000)
	o.MaxStreamsPerAddress = cmp.Or(o.MaxStreamsPerAddress, o.MaxStreams)
	o.KeepAlive = cmp.Or(o.KeepAlive, 12*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	if o.CheckOrigin == nil {
		o.CheckOrigin = sameHost
	}
	if o.ClientAddress == nil {
		o.ClientAddress = func(*http.Request) string { return "" }
	}
	if o.Memory == nil {
		o.Memory = func(*http.Request) *budget.Account { return nil }
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
