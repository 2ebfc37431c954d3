package sharedlog

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	rand2 "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/pack"
)

const (
	// streamLength is about how many entries the log keeps. A reader that is further behind has to load all states again.
	streamLength = 20_000
	// callLimit bounds a call to Redis that does not wait for anything.
	callLimit = time.Second
	// loadLimit bounds the loading of all states.
	loadLimit = 5 * time.Second
	// blockTime is how long a read waits for entries. Then the reader checks that the log is still there.
	blockTime = 2 * time.Second
)

// redisJournal stores the log in Redis.
type redisJournal struct {
	redis redis.UniversalClient
	keys  keys
	// reads are the calls that wait for entries. A context does not end them: they go on, and keep their connection, for a
	// moment after their caller has gone.
	reads sync.WaitGroup
}

func (j *redisJournal) begin(ctx context.Context) (name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	name = strings.ToLower(rand.Text()[:8])
	if err := beginScript.Run(ctx, j.redis, j.keys.all(), name).Err(); err != nil {
		return "", fmt.Errorf("begin the shared log: %w", err)
	}
	return name, nil
}

func (j *redisJournal) append(
	ctx context.Context, name string, known tail, versions feed.ResourceVersions, complete bool, operations ...operation,
) (tail, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	ready := "0"
	if complete {
		ready = "1"
	}
	args := []any{
		name, 1 + rand2.Uint32N(1<<31), streamLength, feed.MaxRetired, formatVersions(versions), time.Now().UnixMilli(), ready, orderLength, offsetLength,
		known.String(),
	}
	for _, o := range operations {
		id, order, version, payload := o.Retired, "", uint64(0), []byte(nil)
		switch o.kind {
		case entryState:
			var err error
			if payload, err = encode(o.State); err != nil {
				return tail{}, err
			}
			id, order, version = o.State.ID, o.State.OrderKey(), o.State.Revision.Cluster
		case entryHeartbeat:
			id, payload = strconv.FormatInt(o.unproven.Milliseconds(), 10), []byte(formatVersions(versions))
		}
		args = append(args, o.kind, id, order, payload, version)
	}
	last, err := appendScript.Run(ctx, j.redis, j.keys.all(), args...).Text()
	switch {
	case err == nil:
		return parseTail(last)
	case strings.Contains(err.Error(), noLog):
		return tail{}, errNoLog
	case strings.Contains(err.Error(), lostEnd):
		return tail{}, errGap
	}
	return tail{}, fmt.Errorf("append to the shared log: %w", err)
}

func (j *redisJournal) load(ctx context.Context) (*contents, error) {
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	var all *redis.MapStringStringCmd
	var clock *redis.Cmd
	_, err := j.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		all, clock = p.HGetAll(ctx, j.keys.pulls), timeScript.Eval(ctx, p, []string{j.keys.pulls})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load the shared log: %w", err)
	}
	now, err := clock.Int64()
	if err != nil {
		return nil, fmt.Errorf("load the shared log: the time: %w", err)
	}
	fields := all.Val()
	if fields[fieldReady] == "" {
		return nil, errNoLog
	}
	c, err := parseContents(fields, time.Unix(now, 0))
	if err != nil {
		return nil, &unreadableError{fields[fieldLog], err}
	}
	return c, nil
}

func parseContents(fields map[string]string, now time.Time) (*contents, error) {
	c := &contents{lastID: fields[fieldLast]}
	c.Log, c.ResourceVersions = fields[fieldLog], parseVersions(fields[fieldMarks])
	var bad error
	number := func(field string) uint64 {
		n, err := strconv.ParseUint(fields[field], 10, 63)
		bad = errors.Join(bad, err)
		return n
	}
	c.Offset, c.Horizon = number(fieldSeq), number(fieldHorizon)
	c.silence = now.Sub(time.Unix(int64(number(fieldHeartbeat)), 0))
	if c.Log == "" {
		bad = errors.New("it has no name")
	}
	if bad != nil {
		return nil, bad
	}
	for id, value := range fields {
		if strings.HasPrefix(id, "#") {
			continue
		}
		p, err := parsePull(value)
		if err != nil {
			return nil, fmt.Errorf("pull %s: %w", id, err)
		}
		c.Pulls = append(c.Pulls, p)
	}
	slices.SortFunc(c.Pulls, func(a, b feed.Pull) int { return cmp.Compare(a.Offset, b.Offset) })
	return c, nil
}

// parsePull reads a pull's value in the hash, as append.lua writes it.
func parsePull(value string) (p feed.Pull, err error) {
	const flag = orderLength + offsetLength
	if len(value) <= flag {
		return p, errors.New("its state is too short")
	}
	if p.Offset, err = strconv.ParseUint(value[orderLength:flag], 10, 64); err != nil {
		return p, err
	}
	p.Retired = value[flag] == '1'
	p.State, err = decode(value[flag+1:])
	return p, err
}

func formatVersions(v feed.ResourceVersions) string { return fmt.Sprintf("%d-%d", v.Jobs, v.Pods) }

func parseVersions(text string) (v feed.ResourceVersions) {
	jobs, pods, _ := strings.Cut(text, "-")
	// What cannot be read counts as 0. A watch then begins with an ordinary list.
	v.Jobs, _ = strconv.ParseUint(jobs, 10, 64)
	v.Pods, _ = strconv.ParseUint(pods, 10, 64)
	return v
}

func (j *redisJournal) read(ctx context.Context, name, after string) ([]logEntry, error) {
	type reply struct {
		streams []redis.XStream
		err     error
	}
	replied := make(chan reply, 1)
	j.reads.Go(func() {
		// A connection that hangs must not look like a log in which nothing happens.
		ctx, cancel := context.WithTimeout(ctx, blockTime+callLimit)
		defer cancel()
		const most = 1000
		streams, err := j.redis.XRead(ctx, &redis.XReadArgs{
			Streams: []string{j.keys.updates, after}, Count: most, Block: blockTime,
		}).Result()
		replied <- reply{streams, err}
	})
	var streams []redis.XStream
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-replied:
		if errors.Is(r.err, redis.Nil) {
			return nil, nil
		}
		if r.err != nil {
			return nil, fmt.Errorf("read the shared log: %w", r.err)
		}
		streams = r.streams
	}
	var entries []logEntry
	for _, m := range streams[0].Messages {
		e, err := parseEntry(m)
		if err != nil {
			return nil, &unreadableError{name, fmt.Errorf("entry %s: %w", m.ID, err)}
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func parseEntry(m redis.XMessage) (e logEntry, err error) {
	text := func(field string) string { s, _ := m.Values[field].(string); return s }
	e = logEntry{kind: text("k"), id: m.ID, previous: text("a")}
	offset, _, _ := strings.Cut(m.ID, "-")
	if e.Offset, err = strconv.ParseUint(offset, 10, 64); err != nil {
		return e, err
	}
	if ms, err := strconv.ParseInt(text("t"), 10, 64); err == nil {
		e.time = time.UnixMilli(ms)
	}
	switch e.kind {
	case entryState:
		e.State, err = decode(text("p"))
	case entryRetired:
		e.Retired = text("i")
	case entryHeartbeat:
		e.ResourceVersions, e.unproven = parseVersions(text("p")), -1
		if ms, err := strconv.ParseInt(text("i"), 10, 32); err == nil {
			e.unproven = time.Duration(ms) * time.Millisecond
		}
	}
	return e, err
}

func (j *redisJournal) holds(ctx context.Context, known tail) (name string, held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var head *redis.SliceCmd
	var first, at *redis.XMessageSliceCmd
	_, err = j.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		head = p.HMGet(ctx, j.keys.pulls, fieldLog, fieldSeq)
		n := strconv.FormatUint(known.offset, 10)
		at = p.XRange(ctx, j.keys.updates, n, n) // first: an append in between may drop the entry
		first = p.XRangeN(ctx, j.keys.updates, "-", "+", 1)
		return nil
	})
	if err != nil {
		return "", false, fmt.Errorf("look at the shared log: %w", err)
	}
	name, _ = head.Val()[0].(string)
	seq, _ := head.Val()[1].(string)
	last, err := strconv.ParseUint(seq, 10, 64)
	if name == "" || err != nil {
		return "", false, errNoLog
	}
	dropped := true
	if oldest := first.Val(); len(oldest) > 0 {
		entry, err := parseTail(oldest[0].ID)
		if err != nil {
			return "", false, fmt.Errorf("look at the shared log: %w", err)
		}
		dropped = entry.offset > known.offset
	}
	there := len(at.Val()) > 0 && at.Val()[0].ID == known.id
	return name, last >= known.offset && (dropped || there), nil
}

func (j *redisJournal) destroy(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return destroyScript.Run(ctx, j.redis, j.keys.all(), name).Err()
}

func (j *redisJournal) close() {
	_ = j.redis.Close()
	j.reads.Wait() // a read that waits for entries ends only with its connection
}

func encode(state *pull.State) ([]byte, error) {
	b, err := state.AppendBinary(nil)
	if err != nil {
		return nil, fmt.Errorf("encode pull %s: %w", state.ID, err)
	}
	return pack.Pack(b), nil
}

func decode(text string) (*pull.State, error) {
	b, err := pack.Unpack([]byte(text))
	if err != nil {
		return nil, err
	}
	state := &pull.State{}
	return state, state.UnmarshalBinary(b)
}
