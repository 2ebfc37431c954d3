package graphqlhttp

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/turns"
)

// A refused client gets the response although it goes on to send, for a limited time.
func TestRefusedClientGetsTheErrorWhileItSends(t *testing.T) {
	memory := budget.New(32<<10, prometheus.NewRegistry())
	transport := New(Options{Memory: func(*http.Request) *budget.Account { return memory.Open("client", 0) }})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transport.Do(w, r, newScript()) }))
	defer server.Close()
	const length = 1 << 20
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", length)
	if _, err := conn.Write([]byte(strings.Repeat("a", length-1))); err != nil {
		t.Fatalf("it could not send all: %v", err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusServiceUnavailable || !answer.Close {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestRefusedClientThatSendsSlowlyIsNotReadForEver(t *testing.T) {
	memory := budget.New(32<<10, prometheus.NewRegistry())
	transport := New(Options{Memory: func(*http.Request) *budget.Account { return memory.Open("client", 0) }})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transport.Do(w, r, newScript()) }))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", 1<<20)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(20 * time.Second); ; {
		select {
		case <-ticker.C:
			if _, err := conn.Write([]byte("a")); err != nil {
				return // it is closed
			}
		case <-deadline:
			t.Fatal("it is read on and on")
		}
	}
}

func TestShortRequestsDoNotWaitForLongOnes(t *testing.T) {
	taken := turns.New(1)
	end, err := taken.Take(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	transport := New(Options{Turns: taken})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transport.Do(w, r, newScript()) }))
	defer server.Close()
	post := func(body string) (status int) {
		answer, err := http.Post(server.URL, typeJSON, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if status := post(`{"query":"one"}`); status != http.StatusOK {
		t.Errorf("a short one: %d", status)
	}
	answered := make(chan int, 1)
	go func() { answered <- post(`{"query":"one","x":"` + strings.Repeat("x", 2*shortRequest) + `"}`) }()
	select {
	case status := <-answered:
		t.Errorf("a long one did not wait for its turn: %d", status)
	case <-time.After(50 * time.Millisecond): // it waits
	}
	end()
	if status := <-answered; status != http.StatusOK {
		t.Errorf("in its turn: %d", status)
	}
}
