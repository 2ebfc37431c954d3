package sharedlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pullwatch/internal/feed"
)

var (
	// errNoLog means that Redis holds no log, or not the one that was expected.
	errNoLog = errors.New("the shared log is not there")
	// errGap means that entries are missing: the reader was too slow, or Redis has lost them.
	errGap = errors.New("entries of the shared log are missing")
)

// unreadableError means that what Redis holds is not a log in the form that is expected.
type unreadableError struct {
	name  string // of the log; empty when it has none
	cause error
}

func (e *unreadableError) Error() string { return "the shared log cannot be read: " + e.cause.Error() }
func (e *unreadableError) Unwrap() error { return e.cause }

// journal stores the log.
type journal interface {
	// begin makes an empty log, which append is to fill, unless there is a complete one.
	begin(ctx context.Context) (name string, err error)
	// append appends operations to a log that holds every entry up to known, and returns its last entry. complete says that
	// the log then holds every pull. States of pulls that the log has forgotten are left out. append returns errNoLog when
	// the log has another name, and errGap when it has lost entries up to known.
	append(ctx context.Context, name string, known tail, versions feed.ResourceVersions, complete bool, operations ...operation) (tail, error)
	// load returns everything that the log holds. It returns errNoLog when there is no complete log, and an unreadableError
	// when what is there is no log in the form that is expected.
	load(ctx context.Context) (*contents, error)
	// read waits for entries after an ID and returns them; none when blockTime has passed.
	read(ctx context.Context, name, after string) ([]logEntry, error)
	// holds returns the name of the log, and whether it holds every entry up to known. Entries that it has dropped because of
	// its length count as held.
	holds(ctx context.Context, known tail) (name string, held bool, err error)
	// destroy removes the log if it has that name. The leader makes a new one of what it knows of the cluster.
	destroy(ctx context.Context, name string) error
	// close ends all calls, and returns when all have ended.
	close()
}

// tail is the last entry of the log that somebody knows. The zero tail is before every entry.
type tail struct {
	offset uint64
	id     string // the entry's; empty while nothing has been appended
}

// String returns the ID. While there is none, it returns one that no entry has, before all with this offset; empty for the zero
// tail.

func (t tail) String() string {
	if t.id == "" && t.offset > 0 {
		return fmt.Sprintf("%d-0", t.offset) // no ID ends with 0
	}
	return t.id
}

// parseTail reads what append.lua returns.
func parseTail(id string) (tail, error) {
	offset, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(offset, 10, 63)
	return tail{n, id}, err
}

// operation is what is appended to the log.
type operation struct {
	kind        string
	feed.Change // with entryState and entryRetired
	// unproven is set with entryHeartbeat: how long ago the leader's watch was last known to be live.
	unproven time.Duration
}

func operationOf(c feed.Change) operation {
	if c.State != nil {
		return operation{kind: entryState, Change: c}
	}
	return operation{kind: entryRetired, Change: c}
}

// logEntry is an entry of the log as it is read.
type logEntry struct {
	kind string
	feed.Entry
	// id is the entry's, previous that of the entry before it.
	id, previous string
	// unproven is as in operation; negative when a heartbeat has none.
	unproven time.Duration
	time     time.Time
}

// contents is everything that the log holds.
type contents struct {
	feed.Contents
	lastID string // of the last entry; empty for none
	// silence is how long ago the last heartbeat came.
	silence time.Duration
}
