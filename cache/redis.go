package cache

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// redisTimeout is how long a read waits for Redis.
	redisTimeout = 100 * time.Millisecond
	// retention is how long Redis keeps a list after its time to live, for when Kubernetes is away. All replicas must have the
	// same one: they compute a list's age from how long the key has left to live.
	retention = time.Hour
	// leaseTTL is how long replicas wait for the one that loads. Then another one loads.
	leaseTTL = 2 * time.Second
)

var (
	//go:embed scripts/read.lua
	readSource string
	//go:embed scripts/write.lua
	writeSource string
	//go:embed scripts/acquire.lua
	acquireSource string

	readScript    = redis.NewScript(readSource)
	writeScript   = redis.NewScript(writeSource)
	acquireScript = redis.NewScript(acquireSource)
)

// redisLists are the lists in Redis. Each is a hash of its version, its content, the content's stamp, and unproven: the
// milliseconds between Proven and AsOf. AsOf follows from how long the key has left to live, so that no two clocks are compared.
type redisLists struct {
	client redis.UniversalClient
	// blocking is for awaitFill alone.
	blocking redis.UniversalClient
	lists    [kinds]string
	lease    string
	// fills is a stream in Redis that gets an entry when a load under the lease has ended.
	fills string
	// timeout is redisTimeout, except in tests on busy machines.
	timeout time.Duration
}

func newRedisLists(client, blocking redis.UniversalClient, keys string) *redisLists {
	s := &redisLists{client: client, blocking: blocking, lease: keys + "lease:lists", fills: keys + "fills", timeout: redisTimeout}
	for k := range kinds {
		s.lists[k] = keys + k.String()
	}
	return s
}

// read gets the lists in one round trip, without content that known has already. unreadable says why a list could not be read.
func (s *redisLists) read(ctx context.Context, known both) (found both, unreadable map[kind]error, err error) {
	began := time.Now()
	var stamps [kinds]any
	for k := range kinds {
		stamps[k] = ""
		if known[k] != nil {
			stamps[k] = known[k].stamp
		}
	}
	replies, err := readScript.Run(ctx, s.client, s.lists[:], stamps[:]...).Slice()
	if err != nil {
		return both{}, nil, fmt.Errorf("read lists from Redis: %w", err)
	}
	if len(replies) != int(kinds) {
		return both{}, nil, fmt.Errorf("read lists from Redis: %d replies", len(replies))
	}
	for k := range kinds {
		if replies[k] == nil {
			continue
		}
		e, err := readEntry(k, replies[k], known[k], began)
		if err != nil {
			if unreadable == nil {
				unreadable = map[kind]error{}
			}
			unreadable[k] = err
			continue
		}
		found[k] = e
	}
	return found, unreadable, nil
}

var errNotAList = errors.New("it is not what pullwatch writes")

// readEntry makes an entry of a reply of read.lua, which was called at began.
func readEntry(k kind, reply any, known *entry, began time.Time) (*entry, error) {
	fields, _ := reply.([]any)
	if len(fields) < 4 {
		return nil, errNotAList
	}
	left, isLeft := fields[0].(int64)
	digits, isVersion := fields[1].(string)
	stamp, isStamp := fields[2].(string)
	milliseconds, isUnproven := fields[3].(string)
	version, badVersion := strconv.ParseUint(digits, 10, 64)
	unproven, badUnproven := strconv.ParseUint(milliseconds, 10, 32)
	if !isLeft || !isVersion || !isStamp || !isUnproven || stamp == "" || left < 0 || badVersion != nil || badUnproven != nil {
		return nil, errNotAList
	}
	asOf := began.Add(min(0, time.Duration(left)*time.Millisecond-retention-k.ttl()))
	proven := asOf.Add(-time.Duration(unproven) * time.Millisecond)
	e := &entry{version: version, asOf: asOf, proven: proven, from: tierRedis, stamp: stamp}
	e.freshFor(memoryTTL, k)
	if len(fields) == 4 {
		e.states = known.states
		return e, nil
	}
	data, _ := fields[4].(string)
	var err error
	e.states, err = decodeStates([]byte(data), stamp)
	return e, err
}

func (s *redisLists) remove(ctx context.Context, k kind) error {
	if err := s.client.Del(ctx, s.lists[k]).Err(); err != nil {
		return fmt.Errorf("remove list from Redis: %w", err)
	}
	return nil
}

// acquire returns a token if this replica has got the lease, otherwise the ID of the last fill, for awaitFill.
func (s *redisLists) acquire(ctx context.Context) (token, lastFill string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	token = rand.Text()
	lastFill, err = acquireScript.Run(ctx, s.client, []string{s.lease, s.fills}, token, leaseTTL.Milliseconds()).Text()
	switch {
	case err != nil:
		return "", "", fmt.Errorf("acquire lease in Redis: %w", err)
	case lastFill == "":
		return token, "", nil
	default:
		return "", lastFill, nil
	}
}

// awaitFill returns when a load has ended after lastFill, or when the lease has expired.
func (s *redisLists) awaitFill(ctx context.Context, lastFill string) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTTL+s.timeout)
	defer cancel()
	err := s.blocking.XRead(ctx, &redis.XReadArgs{Streams: []string{s.fills, lastFill}, Count: 1, Block: leaseTTL}).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("await lists in Redis: %w", err)
	}
	return nil
}
