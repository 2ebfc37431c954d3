package httpapi

import (
	"bufio"
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"pullwatch/internal/usererr"
)

// newErrorLog returns an http.Server's ErrorLog that writes to logger.
func newErrorLog(logger *slog.Logger) *log.Logger { return log.New(serverLog{logger}, "", 0) }

// serverLog logs a line of net/http with each Write.
type serverLog struct{ logger *slog.Logger }

func (l serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level, message := classify(text)
	l.logger.Log(context.Background(), level, message, "error", text)
	return len(line), nil
}

// classify returns the level of a line of net/http, and a message that says what the line is about. A line that any client
// can cause, and that asks nobody to act, has the level debug.
func classify(line string) (slog.Level, string) {
	handshake, isHandshake := strings.CutPrefix(line, "http: TLS handshake error from ")
	switch {
	case strings.HasPrefix(line, "http: Accept error: "):
		return slog.LevelError, "new connections cannot be accepted"
	case strings.HasPrefix(line, "http: panic serving "), strings.HasPrefix(line, "http2: panic serving "):
		return slog.LevelError, panicMessage
	case isHandshake:
		_, reason, _ := strings.Cut(handshake, ": ") // after the peer address
		return classifyHandshake(reason)
	case hasAnyPrefix(line, "http2: ", "timeout waiting for ", "ignoring invalid trailer "):
		return slog.LevelDebug, "a connection ended with an error"
	default: // for example, that a handler misused its ResponseWriter
		return slog.LevelWarn, "the HTTP server reports an error"
	}
}

// classifyHandshake is classify for the reason of a failed TLS handshake.
func classifyHandshake(reason string) (slog.Level, string) {
	const failed = "a TLS handshake failed"
	switch {
	case strings.Contains(reason, "certificate"): // the server's: clients have none
		return slog.LevelWarn, "clients do not take the server's certificate"
	case reason == "EOF", hasAnyPrefix(reason, "tls: ", "remote error: tls: ", "local error: tls: ", "client sent ", "read ", "write "):
		return slog.LevelDebug, failed
	default: // for example, that the server has no certificate to choose
		return slog.LevelWarn, failed
	}
}

func hasAnyPrefix(text string, prefixes ...string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

const panicMessage = "panic in an HTTP handler"

// logPanics logs panics of next. The client gets an error if no part of a response was written. Otherwise the connection is
// cut off, so that the client does not take the part for the whole.
func logPanics(next http.Handler, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &watchedWriter{ResponseWriter: w}
		defer func() {
			panicked := recover()
			switch {
			case panicked == nil:
				return
			case panicked == http.ErrAbortHandler:
				panic(panicked) // a handler cuts its response off with this
			}
			logger.ErrorContext(r.Context(), panicMessage, "path", r.URL.Path, "panic", panicked, "stack", string(debug.Stack()))
			if watched.wrote {
				panic(http.ErrAbortHandler)
			}
			for _, name := range []string{"Content-Length", "Content-Encoding", "Etag"} { // of the response that was not written
				w.Header().Del(name)
			}
			w.Header().Set("Cache-Control", "no-store")
			refuse(w, http.StatusInternalServerError, usererr.Internal, "something went wrong inside; the server's log holds it")
		}()
		next.ServeHTTP(watched, r)
	})
}

// watchedWriter is a ResponseWriter that notes whether a part of the response may have been written.
type watchedWriter struct {
	http.ResponseWriter
	wrote bool
}

func (w *watchedWriter) WriteHeader(status int) {
	w.wrote = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController, as is Unwrap.
func (w *watchedWriter) FlushError() error {
	w.wrote = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w *watchedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.wrote = w.wrote || err == nil
	return conn, buffers, err
}
