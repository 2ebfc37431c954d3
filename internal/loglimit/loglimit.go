// Package loglimit protects a logger from floods. It writes only some of the lines with the same message. Lines with other
// messages are not affected, so a flood hides nothing else.
package loglimit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// burst is how many lines with one message are written at once. After that, one more is written each interval.
	burst    = 10
	interval = 2 * time.Second
	// maxMessages is how many messages have a limit of their own. The program has far fewer, but a library may put anything
	// into a message.
	maxMessages = 1000
)

// Handler is a slog.Handler that writes through another one. It does not limit lines below slog.LevelInfo: whoever enables
// them wants all of them.
type Handler struct {
	next   slog.Handler
	limits *limits
}

// limits holds the limit of each message. The handlers that WithAttrs and WithGroup return share it.
type limits struct {
	suppressed atomic.Uint64
	mu         sync.Mutex
	messages   map[string]*limit
}

// limit is the limit of one message.
type limit struct {
	rate       *rate.Limiter
	suppressed int // lines left out since the last one written
}

// New returns a Handler that writes through next. It writes ten lines with the same message at once, then one every two
// seconds. The attribute "suppressed" of a line is how many were left out before it.
func New(next slog.Handler) *Handler {
	return &Handler{next: next, limits: &limits{messages: map[string]*limit{}}}
}

// Register registers the number of lines left out with r.
func (h *Handler) Register(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "pullwatch_log_suppressed_total",
		Help: "Lines that are not in the log because too many with the same message came at once.",
	}, func() float64 { return float64(h.limits.suppressed.Load()) }))
}

// Enabled implements slog.Handler, as do the following methods.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *Handler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelInfo {
		suppressed, ok := h.limits.admit(record.Message)
		if !ok {
			return nil
		}
		if suppressed > 0 {
			record = record.Clone()
			record.AddAttrs(slog.Int("suppressed", suppressed))
		}
	}
	return h.next.Handle(ctx, record)
}

func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.next.WithAttrs(attrs), h.limits}
}

func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.next.WithGroup(name), h.limits}
}

// admit reports whether to write a line, and how many lines with its message were left out since the last one written.
func (l *limits) admit(message string) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.messages[message] == nil && len(l.messages) >= maxMessages {
		message = "" // the messages above the limit share one
	}
	of := l.messages[message]
	if of == nil {
		of = &limit{rate: rate.NewLimiter(rate.Every(interval), burst)}
		l.messages[message] = of
	}
	if !of.rate.Allow() {
		of.suppressed++
		l.suppressed.Add(1)
		return 0, false
	}
	suppressed, of.suppressed = of.suppressed, 0
	return suppressed, true
}
