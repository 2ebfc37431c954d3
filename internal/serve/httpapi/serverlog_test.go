package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/feed"
	"pullwatch/internal/serve/executor"
	"pullwatch/resolvers"
)

func TestLinesOfTheHTTPServerGetTheirLevels(t *testing.T) {
	const handshake = "http: TLS handshake error from [::1]:40000: "
	for line, want := range map[string]slog.Level{
		"http: Accept error: accept tcp 127.0.0.1:8080: accept4: too many open files; retrying in 1s": slog.LevelError,
		"http: panic serving 127.0.0.1:40000: oops\ngoroutine 1 [running]:":                           slog.LevelError,
		"http2: panic serving 127.0.0.1:40000: oops\ngoroutine 1 [running]:":                          slog.LevelError,

		handshake + "remote error: tls: bad certificate":                                             slog.LevelWarn,
		handshake + "remote error: tls: unknown certificate authority":                               slog.LevelWarn,
		handshake + "remote error: tls: expired certificate":                                         slog.LevelWarn,
		handshake + "tls: no certificates configured":                                                slog.LevelWarn,
		handshake + "tls: peer doesn't support any of the certificate's signature algorithms":        slog.LevelWarn,
		handshake + "open /tls/tls.key: permission denied":                                           slog.LevelWarn,
		"http: superfluous response.WriteHeader call from pullwatch/httpapi.refuse (httpapi.go:100)": slog.LevelWarn,
		"http: something that a later net/http says":                                                 slog.LevelWarn,

		handshake + "EOF": slog.LevelDebug,
		handshake + "read tcp [::1]:8080->[::1]:40000: read: connection reset by peer":      slog.LevelDebug,
		handshake + "read tcp [::1]:8080->[::1]:40000: i/o timeout":                         slog.LevelDebug,
		handshake + "write tcp [::1]:8080->[::1]:40000: write: broken pipe":                 slog.LevelDebug,
		handshake + "client sent an HTTP request to an HTTPS server":                        slog.LevelDebug,
		handshake + "tls: first record does not look like a TLS handshake":                  slog.LevelDebug,
		handshake + "tls: client offered only unsupported versions: [301]":                  slog.LevelDebug,
		handshake + "tls: no cipher suite supported by both client and server":              slog.LevelDebug,
		handshake + "remote error: tls: protocol version not supported":                     slog.LevelDebug,
		"http2: server connection error from [::1]:40000: connection error: PROTOCOL_ERROR": slog.LevelDebug,
		"timeout waiting for SETTINGS frames from [::1]:40000":                              slog.LevelDebug,
	} {
		if level, message := classify(line); level != want || message == "" {
			t.Errorf("%s: %v %q; want %v", line, level, message, want)
		}
	}
}

// fullListener fails to accept a number of times, and then waits until it is closed.
type fullListener struct {
	failures int
	closed   chan struct{}
}

func (l *fullListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *fullListener) Close() error   { close(l.closed); return nil }
func (l *fullListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func TestOperatorsSeeThatConnectionsCannotBeAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		metrics := prometheus.NewRegistry()
		logger := slog.New(slog.NewTextHandler(&log, nil))
		server := New(Options{
			Schema: resolvers.NewSchema(&resolvers.Resolver{}), Errors: executor.NewErrors(logger, metrics),
			ActivePulls: feed.New("r").ActiveCount, Page: http.NotFoundHandler(), Limits: testLimits, Metrics: metrics, Logger: logger,
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(ctx, &fullListener{failures: 1, closed: make(chan struct{})}) }()
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if l := log.all(); len(l) != 1 || !strings.Contains(l[0], "level=ERROR") || !strings.Contains(l[0], "too many open files") {
			t.Errorf("%q", l)
		}
	})
}

func TestPanicsOfHandlersAreLoggedOnceAndAnswered(t *testing.T) {
	s := serve(t)
	s.page = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Content-Encoding", "gzip")
		panicForTest()
	}
	answer, err := http.Get(s.url + "/")
	if err != nil {
		t.Fatalf("the client got no answer: %v", err)
	}
	r := decode(t, answer)
	if answer.StatusCode != http.StatusInternalServerError || answer.Header.Get("Content-Encoding") != "" ||
		len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "INTERNAL" || strings.Contains(r.Errors[0].Message, "secret") {
		t.Errorf("%v %+v", answer, r)
	}
	l := s.log.all()
	if len(l) != 1 || !strings.Contains(l[0], "level=ERROR") || !strings.Contains(l[0], "secret") || !strings.Contains(l[0], "panicForTest") {
		t.Errorf("the log does not hold the panic and its stack once: %q", l)
	}
}

func panicForTest() { panic("secret") }

func TestAResponseThatAPanicCutsOffIsNoWholeResponse(t *testing.T) {
	for name, c := range map[string]struct {
		write  func(http.ResponseWriter)
		logged int
	}{
		"written": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "half"); panic("oops") }, 1},
		"flushed": {func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush(); panic("oops") }, 1},
		"header":  {func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK); panic("oops") }, 1},
		"on purpose": {func(w http.ResponseWriter) {
			panic(http.ErrAbortHandler)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			logger := slog.New(slog.NewTextHandler(&log, nil))
			server := httptest.NewUnstartedServer(logPanics(
				http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.write(w) }), logger))
			server.Config.ErrorLog = newErrorLog(logger)
			server.Start()
			defer server.Close()
			answer, err := server.Client().Get(server.URL)
			if err == nil {
				_, err = io.ReadAll(answer.Body)
				answer.Body.Close()
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the client takes it for the whole: %v", err)
			}
			if l := log.all(); len(l) != c.logged {
				t.Errorf("%q", l)
			}
		})
	}
}
