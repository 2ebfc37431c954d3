package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// query is what a dashboard asks for.
const query = `{ activePulls { id phase image { name } destination { name } message progress { percent bytesPerSecond secondsLeft } createdAt } }`

const (
	// clients poll, each once in interval.
	clients  = 100
	interval = time.Second
	// callers ask again as soon as they have an answer.
	callers = 4
)

// The ways to ask over HTTP.
const (
	httpCalls        = "HTTP, 4 callers"
	httpCallsPlain   = "the same bytes by net/http"
	httpPolling      = "HTTP, 100 clients once a second"
	httpPollingPlain = "the same bytes by net/http, polled"
)

// compareHTTP measures activePulls through a whole server, and the same bytes written by a plain handler. It leaves out
// the polling when the server cannot answer that often; otherwise it returns, too, which part of the polled lists the
// server had without going to Kubernetes.
func compareHTTP(ctx context.Context, server *process, dir string, n int, p pace) (results []*result, hits float64, err error) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	load := &load{client: &http.Client{Transport: transport, Timeout: startLimit}}
	var body []byte
	err = await(ctx, "the server lists all pulls", func(ctx context.Context) error {
		body, err = load.ask(ctx, server)
		if found := bytes.Count(body, []byte(`"id":`)); err == nil && found != n {
			err = fmt.Errorf("it lists %d of %d", found, n)
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	plain, err := startPlain(ctx, filepath.Join(dir, "answer-"+strconv.Itoa(n)+".json"), body)
	if err != nil {
		return nil, 0, err
	}
	defer plain.close()
	results, err = p.compare(ctx,
		&candidate{name: httpCalls, length: p.turn(), cpu: []meter{server.cpu}, turn: load.calls(server)},
		&candidate{name: httpCallsPlain, length: p.turn(), cpu: []meter{plain.cpu}, turn: load.calls(plain)},
	)
	if err != nil || results[0].perSecond() < clients/interval.Seconds() {
		return results, 0, err // polled faster than it can answer, only the queue would be measured
	}
	before, err := server.metrics(ctx)
	if err != nil {
		return nil, 0, err
	}
	length := max(3*p.turn(), interval) // for each of them to ask
	polled, err := p.compare(ctx,
		&candidate{name: httpPolling, length: length, cpu: []meter{server.cpu}, turn: load.polls(server)},
		&candidate{name: httpPollingPlain, length: length, cpu: []meter{plain.cpu}, turn: load.polls(plain)},
	)
	if err != nil {
		return nil, 0, err
	}
	after, err := server.metrics(ctx)
	return append(results, polled...), hitRatio(before, after), err
}

// hitRatio returns the part of the reads of active pulls between two looks at the metrics that did not go to Kubernetes.
func hitRatio(before, after map[string]float64) float64 {
	var all, loaded float64
	for _, tier := range []string{"memory", "redis", "watch", "kubernetes", "stale"} {
		name := fmt.Sprintf(`pullwatch_cache_reads_total{list="active",tier="%s"}`, tier)
		reads := after[name] - before[name]
		all += reads
		if tier == "kubernetes" {
			loaded += reads
		}
	}
	return 1 - loaded/all
}

// load asks for the active pulls over connections that it keeps.
type load struct{ client *http.Client }

func (l *load) ask(ctx context.Context, server *process) ([]byte, error) {
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+server.address+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || bytes.HasPrefix(answer, []byte(`{"errors"`))) {
		err = fmt.Errorf("%s: %.500s", response.Status, answer)
	}
	return answer, err
}

// calls is a turn of some callers that ask again as soon as they have an answer.
func (l *load) calls(server *process) turn {
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		group, ctx := errgroup.WithContext(ctx)
		took = locked(took)
		for range callers {
			group.Go(func() error {
				return oneAfterTheOther(func(ctx context.Context) error {
					_, err := l.ask(ctx, server)
					return err
				})(ctx, until, took)
			})
		}
		return group.Wait()
	}
}

// polls is a turn of clients that ask once in interval, spread evenly over it. One whose answer takes longer skips its
// turns meanwhile.
func (l *load) polls(server *process) turn {
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		group, ctx := errgroup.WithContext(ctx)
		took = locked(took)
		began := time.Now()
		for i := range clients {
			group.Go(func() error {
				timer := time.NewTimer(0)
				defer timer.Stop()
				for at := began.Add(interval * time.Duration(i) / clients); at.Before(until); at = at.Add(interval) {
					wait := time.Until(at)
					if wait < -interval {
						continue
					}
					timer.Reset(wait)
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-timer.C:
					}
					asked := time.Now()
					if _, err := l.ask(ctx, server); err != nil {
						return err
					}
					took(time.Since(asked))
				}
				return nil
			})
		}
		return group.Wait()
	}
}

// locked returns a function that calls f once at a time.
func locked(f func(time.Duration)) func(time.Duration) {
	var mu sync.Mutex
	return func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		f(d)
	}
}

// startPlain starts a process that answers every request with body. It goes through a file.
func startPlain(ctx context.Context, file string, body []byte) (*process, error) {
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, err
	}
	return startSelf(ctx, plainCommand, file)
}

// plainCommand is the argument that makes this program the process of startPlain.
const plainCommand = "plain"

// servePlain answers every request with the content of file until ctx is done.
func servePlain(ctx context.Context, address, file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	length := strconv.Itoa(len(body))
	return serveUntil(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A request whose body was left unread would cost its connection.
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		_, _ = w.Write(body) // a client that is gone needs no answer
	}))
}
