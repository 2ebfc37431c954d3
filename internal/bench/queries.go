package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// plainHTTP is the floor of answering: a handler that writes the same bytes.
const plainHTTP = "net/http"

// fullQuery asks for all that there is to know of the active pulls.
const fullQuery = `{ activePulls { id image { name registry repository tag digest } destination { name registry repository tag digest }
	phase message progress { percent bytesDone bytesTotal bytesPerSecond secondsLeft } attempts
	failure { reason message remedy logTail } retryOf createdAt startedAt finishedAt updatedAt revision } }`

// queriesPart measures how often the list of active pulls is answered over HTTP.
func queriesPart(ctx context.Context, b *bench) (*findings, error) {
	f := &findings{table: &table{head: []string{
		"pulls", "server", "bytes", "a second", "of net/http's", "CPU µs each", "p50", "p99",
	}}}
	for _, n := range []int{10, 100, 1000, 10_000} {
		results, size, err := b.compareQueries(ctx, n)
		if err != nil {
			return nil, err
		}
		ours, floor, plain := results[0], results[1], unknown
		for _, r := range results {
			f.table.add(thousands(n), r.name, thousands(size), digits(r.perSecond()), percent(r.rateTo(floor)),
				cpuOfEach(r, 1), round(r.percentile(50)), round(r.percentile(99)))
		}
		if wanted := map[int]float64{100: .80, 1000: .95}[n]; wanted > 0 {
			plain = percent(results[3].rateTo(floor))
			reached := ours.rateTo(floor)
			f.add(fmt.Sprintf("`activePulls` with %s pulls, all fields: answers a second, of net/http's", thousands(n)),
				"at least "+percent(wanted),
				percent(reached), plain, reached >= wanted)
		}
	}
	return f, nil
}

// mostPlain is the longest list that is asked for where it has to be encoded: that takes seconds for longer ones.
const mostPlain = 1000

// compareQueries returns the results of pullwatch and net/http, those of pullwatch with a list that changes and of plain gqlgen
// unless they take too long, and how long an answer is in bytes.
func (b *bench) compareQueries(ctx context.Context, n int) (results []*result, size int, err error) {
	ask, err := askFor(fullQuery)
	if err != nil {
		return nil, 0, err
	}
	contestant := func(name string, server *process, address string) *candidate {
		return &candidate{name: name, length: 2 * b.turn(), cpu: []meter{server.cpu}, turn: ask.calls(address)}
	}
	ours, err := b.contend(ctx, pullwatch, n)
	if err != nil {
		return nil, 0, err
	}
	defer ours.close()
	answer, err := ask.once(ctx, ours.address)
	if err != nil {
		return nil, 0, err
	}
	floor, err := startPlain(ctx, filepath.Join(b.dir, "full-"+strconv.Itoa(n)+".json"), answer)
	if err != nil {
		return nil, 0, err
	}
	defer floor.close()
	candidates := []*candidate{contestant(pullwatch, ours.server, ours.address), contestant(plainHTTP, floor, floor.address)}
	if n <= mostPlain {
		changing := contestant(pullwatchChanging, ours.server, ours.address)
		changing.turn = ours.changing(changing.turn)
		candidates = append(candidates, changing)
		plain, err := b.contend(ctx, gqlgen, n)
		if err != nil {
			return nil, 0, err
		}
		defer plain.close()
		if got, err := ask.once(ctx, plain.address); err != nil || !bytes.Equal(got, answer) {
			return nil, 0, errors.Join(fmt.Errorf("%s answers %.300q, pullwatch %.300q", gqlgen, got, answer), err)
		}
		candidates = append(candidates, contestant(gqlgen, plain.server, plain.address))
	}
	results, err = b.compare(ctx, candidates...)
	return results, len(answer), err
}

// A list changes as often as the replica that leads writes it.
const (
	pullwatchChanging = "pullwatch, list changes 4 times a second"
	listPause         = 250 * time.Millisecond
)

// changing is a turn during which the list changes.
func (c *contender) changing(t turn) turn {
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error {
			return c.publish(ctx, publication{Updates: int(time.Until(until) / listPause), Every: listPause, Lists: true})
		})
		group.Go(func() error { return t(ctx, until, took) })
		return group.Wait()
	}
}

// question is an HTTP request as it goes over the wire.
type question []byte

func askFor(query string) (question, error) {
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		return nil, err
	}
	const request = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	return fmt.Appendf(nil, request, len(body), body), nil
}

// queryCallers is how many ask at a time, so that the processors have no pause.
const queryCallers = 8

// calls is a turn of callers that ask again as soon as they have an answer. They do as little as there is to do, because
// they have the processors in common with the server.
func (q question) calls(address string) turn {
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		group, ctx := errgroup.WithContext(ctx)
		took = locked(took)
		for range queryCallers {
			group.Go(func() error {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
				if err != nil {
					return err
				}
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				in := bufio.NewReaderSize(conn, 64<<10)
				return oneAfterTheOther(func(context.Context) error {
					if _, err := conn.Write(q); err != nil {
						return err
					}
					return readAnswer(in, io.Discard)
				})(ctx, until, took)
			})
		}
		return group.Wait()
	}
}

// once returns the answer's body.
func (q question) once(ctx context.Context, address string) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(q); err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := readAnswer(bufio.NewReader(conn), &body); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(body.Bytes(), []byte(`{"data":`)) {
		return nil, fmt.Errorf("the server answers %.500s", body.Bytes())
	}
	return body.Bytes(), nil
}

// readAnswer reads a successful response and copies its body.
func readAnswer(in *bufio.Reader, body io.Writer) error {
	status, err := in.ReadString('\n')
	if err == nil && !strings.HasPrefix(status, "HTTP/1.1 200 ") {
		err = errors.New(strings.TrimSpace(status))
	}
	length := int64(-1)
	for err == nil {
		var line []byte
		if line, err = in.ReadSlice('\n'); err != nil || len(line) <= len("\r\n") {
			break
		}
		const name = "Content-Length: "
		if bytes.HasPrefix(line, []byte(name)) {
			length, err = strconv.ParseInt(string(bytes.TrimSpace(line[len(name):])), 10, 64)
		}
	}
	if err != nil {
		return err
	}
	if length >= 0 {
		return discardOrCopy(in, body, length)
	}
	if _, err := io.Copy(body, httputil.NewChunkedReader(in)); err != nil {
		return err
	}
	_, err = in.Discard(len("\r\n"))
	return err
}

// discardOrCopy spares a copy where nobody wants one.
func discardOrCopy(in *bufio.Reader, body io.Writer, length int64) error {
	if body == io.Discard {
		_, err := in.Discard(int(length))
		return err
	}
	_, err := io.CopyN(body, in, length)
	return err
}
