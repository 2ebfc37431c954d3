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

// newErrorLog returns an http.Server's ErrorLog that hands on to log what net/http has only text for.
func newErrorLog(to *slog.Logger) *log.Logger { return log.New(serverLog{to}, "", 0) }

// serverLog takes a line with each Write.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level, message := classify(text)
	l.log.Log(context.Background(), level, message, "error", text)
	return len(line), nil
}

// classify returns the level of a line of net/http and what it is about. What any client can cause, and nobody has to
// mend, is for debugging.
func classify(line string) (slog.Level, string) {
	handshake, isHandshake := strings.CutPrefix(line, "http: TLS handshake error from ")
	switch {
	case strings.HasPrefix(line, "http: Accept error: "):
		return slog.LevelError, "new connections cannot be accepted"
	case strings.HasPrefix(line, "http: panic serving "), strings.HasPrefix(line, "http2: panic serving "):
		return slog.LevelError, panicMessage
	case isHandshake:
		_, reason, _ := strings.Cut(handshake, ": ") // behind the client's address
		return classifyHandshake(reason)
	case hasAnyPrefix(line, "http2: ", "timeout waiting for ", "ignoring invalid trailer "):
		return slog.LevelDebug, "a connection ended with an error"
	default: // for one, that a handler used its ResponseWriter in a wrong way
		return slog.LevelWarn, "the HTTP server reports an error"
	}
}

// classifyHandshake does what classify does for the reason why a TLS handshake failed.
func classifyHandshake(reason string) (slog.Level, string) {
	const failed = "a TLS handshake failed"
	switch {
	case strings.Contains(reason, "certificate"): // no client has one here, so it is the server's
		return slog.LevelWarn, "clients do not take the server's certificate"
	case reason == "EOF", hasAnyPrefix(reason, "tls: ", "remote error: tls: ", "local error: tls: ", "client sent ", "read ", "write "):
		return slog.LevelDebug, failed
	default: // such as an error of the server's own in choosing its certificate
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

// logPanics logs panics of next. The client gets an error if it has got nothing yet; otherwise the connection is cut off,
// so that it does not take the part that it has for all.
func logPanics(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &watchedWriter{ResponseWriter: w}
		defer func() {
			panicked := recover()
			switch {
			case panicked == nil:
				return
			case panicked == http.ErrAbortHandler:
				panic(panicked) // that is how a handler cuts a response off
			}
			log.ErrorContext(r.Context(), panicMessage, "path", r.URL.Path, "panic", panicked, "stack", string(debug.Stack()))
			if watched.wrote {
				panic(http.ErrAbortHandler)
			}
			for _, name := range []string{"Content-Length", "Content-Encoding", "Etag"} { // of the response that does not come
				w.Header().Del(name)
			}
			w.Header().Set("Cache-Control", "no-store")
			refuse(w, http.StatusInternalServerError, usererr.Internal, "something went wrong inside; the server's log holds it")
		}()
		next.ServeHTTP(watched, r)
	})
}

// watchedWriter is a ResponseWriter that knows whether the client may have got something.
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
