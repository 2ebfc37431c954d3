package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
)

// serveWhole serves handler on connections that can hold back the beginning of a response.
func serveWhole(t *testing.T, handler http.HandlerFunc) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(sendWhole(w, r), r) }),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, conn)
		},
	}
	served := make(chan error)
	go func() { served <- server.Serve(newClientListener(listener, nil, false)) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return "http://" + listener.Addr().String()
}

// TestResponsesOfAllLengthsArriveWhole has responses of about the lengths at which net/http's buffer is full.
func TestResponsesOfAllLengthsArriveWhole(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	url := serveWhole(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			t.Error(err)
		}
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", strconv.Itoa(n))
		}
		for rest := content[:n]; len(rest) > 0; {
			piece := rest[:min(len(rest), max(1, n/2))]
			if wrote, err := w.Write(piece); err != nil || wrote != len(piece) {
				t.Errorf("%d bytes: wrote %d of %d, %v", n, wrote, len(piece), err)
			}
			rest = rest[len(piece):]
		}
	})
	client := &http.Client{}
	defer client.CloseIdleConnections()
	lengths := []int{0, 1, len(content)}
	for n := 3500; n < 4200; n++ {
		lengths = append(lengths, n, 2*n)
	}
	for _, n := range lengths {
		for _, how := range []string{"length", "chunks"} {
			response, err := client.Get(fmt.Sprintf("%s/?n=%d&%s", url, n, how))
			if err != nil {
				t.Fatalf("%d bytes, %s: %v", n, how, err)
			}
			got, err := io.ReadAll(response.Body)
			if err != nil || !bytes.Equal(got, content[:n]) {
				t.Fatalf("%d bytes, %s: got %d, %v", n, how, len(got), err)
			}
			response.Body.Close()
		}
	}
}

// TestFlushedPartOfAResponseArrivesAtOnce waits in the middle of a response until its beginning has arrived.
func TestFlushedPartOfAResponseArrivesAtOnce(t *testing.T) {
	for _, n := range []int{10, 5000} {
		arrived := make(chan struct{})
		beginning := bytes.Repeat([]byte("x"), n)
		url := serveWhole(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := w.Write(beginning); err != nil {
				t.Error(err)
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			select {
			case <-arrived:
			case <-r.Context().Done():
			}
		})
		client := &http.Client{}
		response, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, make([]byte, n)); err != nil {
			t.Error(err)
		}
		close(arrived)
		if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
		response.Body.Close()
		client.CloseIdleConnections()
	}
}

func TestHijackerGetsTheSocketItself(t *testing.T) {
	url := serveWhole(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, ok := conn.(*net.TCPConn); !ok {
			t.Errorf("%T", conn)
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ntaken")
	})
	client := &http.Client{}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "taken" {
		t.Errorf("%q, %v", body, err)
	}
}
