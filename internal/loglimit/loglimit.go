// Package loglimit keeps a log from being flooded, whoever causes it: of lines that say the same, only so many are
// written. Lines that say anything else are written all the same, so that no flood hides what else happens.
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
	// burst is how many lines with one message are written at once, and interval the time after which one more is.
	burst    = 10
	interval = 2 * time.Second
	// maxMessages bounds how many messages are told apart. The program has far fewer; a library may put anything into one.
	maxMessages = 1000
)

// Handler is a slog.Handler that hands lines on to another. Lines below slog.LevelInfo are not limited: who asks for them
// wants all of them.
type Handler struct {
	next   slog.Handler
	limits *limits
}

// limits are those of all messages, shared by what WithAttrs and WithGroup return.
type limits struct {
	suppressed atomic.Uint64
	mu         sync.Mutex
	messages   map[string]*limit
}

// limit is that of one message.
type limit struct {
	rate       *rate.Limiter
	suppressed int // since the last line that was written
}

// New returns a Handler that writes with next. Of lines with the same message it writes ten at once and then one every two
// seconds, with the number of those left out before it as the attribute "suppressed".
func New(next slog.Handler) *Handler {
	return &Handler{next: next, limits: &limits{messages: map[string]*limit{}}}
}

// Register registers with r how many lines were left out.
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

// admit reports whether a line is written, and how many with its message were not since the last that was.
func (l *limits) admit(message string) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.messages[message] == nil && len(l.messages) >= maxMessages {
		message = "" // which all share that come late
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
