package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"pullwatch/e2e/harness"
	"pullwatch/internal/pull"
)

// Phases in which a pull has ended.
const (
	succeeded = string(pull.Succeeded)
	failed    = string(pull.Failed)
	canceled  = string(pull.Canceled)
)

func isFinal(phase string) bool { return phase == succeeded || phase == failed || phase == canceled }

// pullFields are the same in every query, so that answers can be compared byte for byte.
const pullFields = `id image { name } destination { name digest } phase message attempts retryOf
	progress { percent bytesDone bytesTotal } failure { reason message logTail }
	createdAt startedAt finishedAt updatedAt revision`

// state is a pull's state as a client got it.
type state struct {
	ID, Phase, Message, Revision, CreatedAt string
	Attempts                                int
	Failure                                 *struct{ Reason string }
	// raw is all of it.
	raw string
}

func readState(raw json.RawMessage) (state, error) {
	var compact bytes.Buffer
	var s state
	err := errors.Join(json.Compact(&compact, raw), json.Unmarshal(raw, &s))
	s.raw = compact.String()
	return s, err
}

func (s state) lost() bool { return s.Failure != nil && s.Failure.Reason == string(pull.Lost) }

// delivery is a state that came to a subscriber.
type delivery struct {
	state
	at         time.Time
	connection int
}

// connection is a subscriber's connection to a replica.
type connection struct {
	replica    int
	after      string
	began      time.Time
	ended      time.Time // zero while it goes on
	deliveries int
}

// subscriber follows pulls, now through one replica and now through another, and keeps all states that it gets.
type subscriber struct {
	name string
	// some is true for one that follows a few pulls by id until they have ended, and then others.
	some bool
	// at is the only replica that it connects to; nil for one that moves about.
	at     *replica
	random *rand.Rand
	w      *world

	mu          sync.Mutex
	deliveries  []delivery
	connections []connection
	after       string
	ids         []string
}

const (
	// pingInterval is how often a subscriber makes sure that its server is there, silence how long it believes that.
	pingInterval = time.Second
	silence      = 4 * time.Second
	// meanStay is how long subscribers stay connected.
	meanStay = 5 * time.Second
)

// follow goes on until ctx is done. Once the world settles the subscriber stays where it is.
func (s *subscriber) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if !s.some || s.choose() {
			stay := time.Duration(s.random.ExpFloat64() * float64(meanStay))
			if s.random.IntN(4) == 0 {
				stay = time.Duration(s.random.IntN(300)) * time.Millisecond
			}
			r := s.w.replicas[s.random.IntN(len(s.w.replicas))]
			if s.at != nil {
				r, stay = s.at, time.Hour
			}
			s.connect(ctx, r, stay)
		}
		if !pass(ctx, time.Duration(20+s.random.IntN(200))*time.Millisecond) {
			return
		}
	}
}

// choose picks pulls to follow if there are none, and reports whether there are any. They are so old that every replica knows
// them.
func (s *subscriber) choose() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) > 0 {
		return true
	}
	if s.w.settling() {
		return false
	}
	old := time.Now().Add(-knownEverywhere)
	all := s.w.truth.some(func(j *job) bool { return active(j) && j.seen.Before(old) })
	s.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	s.ids, s.after = all[:min(3, len(all))], ""
	return len(s.ids) > 0
}

// connect follows through one replica for a time.
func (s *subscriber) connect(ctx context.Context, r *replica, stay time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leaving := time.AfterFunc(stay, func() {
		if !s.w.settling() {
			cancel()
		}
	})
	defer leaving.Stop()
	s.mu.Lock()
	after, ids := s.after, s.ids
	n := len(s.connections)
	s.connections = append(s.connections, connection{replica: r.index, after: after, began: time.Now()})
	s.mu.Unlock()
	err := s.read(ctx, &harness.Server{Address: r.door.Address}, n, ids, after)
	s.mu.Lock()
	s.connections[n].ended = time.Now()
	s.mu.Unlock()
	refusal, refused := errors.AsType[harness.Error](err)
	switch {
	case errors.Is(err, io.EOF):
		s.complete(ids)
	case refused:
		s.refused(ids, refusal)
	}
}

func (s *subscriber) read(ctx context.Context, door *harness.Server, n int, ids []string, after string) error {
	variables := map[string]any{}
	if ids != nil {
		variables["ids"] = ids
	}
	if after != "" {
		variables["after"] = after
	}
	const query = `subscription($ids: [ID!], $after: ID) { pullJobUpdated(ids: $ids, after: $after) { ` + pullFields + ` } }`
	sub, err := harness.Open[json.RawMessage](ctx, door, silence, query, variables)
	if err != nil {
		return err
	}
	defer sub.KeepAlive(ctx, pingInterval)()
	for {
		raw, err := sub.Next()
		if err != nil {
			return err
		}
		told, err := readState(raw)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.deliveries = append(s.deliveries, delivery{told, time.Now(), n})
		s.connections[n].deliveries++
		s.after = told.Revision
		s.mu.Unlock()
	}
}

// complete checks that a replica has sent all that it must before it completes a subscription.
func (s *subscriber) complete(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.some {
		s.w.verdict.add(violation{kind: "subscription to all pulls completed", client: s.name})
	}
	for _, id := range ids {
		if !s.hasEndedLocked(id) {
			s.w.verdict.add(violation{kind: "completed without a last state", client: s.name, id: id})
		}
	}
	s.ids = nil
}

func (s *subscriber) hasEndedLocked(id string) bool {
	return slices.ContainsFunc(s.deliveries, func(d delivery) bool { return d.ID == id && isFinal(d.Phase) })
}

// refused checks the error with which a replica has ended a subscription.
func (s *subscriber) refused(ids []string, err harness.Error) {
	switch err.Extensions.Code {
	case "UNAVAILABLE", "TIMEOUT":
		return
	case "NOT_FOUND":
		// A pull whose Job has gone is known for a while, and not by every replica.
		if len(s.w.truth.some(func(j *job) bool { return slices.Contains(ids, j.id) && !j.gone.IsZero() })) > 0 {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ids = nil
			return
		}
	}
	s.w.verdict.add(violation{kind: "subscription refused", client: s.name, text: err.Error()})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = nil
}

// lacking returns the pulls whose last state has yet to come. A subscriber to all pulls need only get those that it has heard of,
// or that were there after it had first connected.
func (s *subscriber) lacking(jobs []job) []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.some || len(s.connections) == 0 {
		return nil
	}
	last := map[[2]string]delivery{}
	for _, d := range s.deliveries {
		last[d.key()] = d
	}
	var lacking []job
	for _, j := range jobs {
		d, heard := last[j.key()]
		if (heard || j.gone.IsZero() || j.gone.After(s.connections[0].began)) && d.Phase != j.final {
			lacking = append(lacking, j)
		}
	}
	return lacking
}

// key identifies a pull: another one may have the same name.
func (s state) key() [2]string { return [2]string{s.ID, normal(s.CreatedAt)} }
func (j job) key() [2]string   { return [2]string{j.id, normal(j.created)} }

// normal returns a time in the one form in which times are compared.
func normal(moment string) string {
	at, err := time.Parse(time.RFC3339Nano, moment)
	if err != nil {
		return moment
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// pass waits and reports whether ctx goes on.
func pass(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
