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
	// errGap means that entries between two that were read are missing: the reader was too slow, or the log was lost.
	errGap = errors.New("entries of the shared log are missing")
)

// unreadableError means that Redis holds something else than a log in the form that is expected.
type unreadableError struct {
	name  string // its name, empty when it has none
	cause error
}

func (e *unreadableError) Error() string { return "the shared log cannot be read: " + e.cause.Error() }
func (e *unreadableError) Unwrap() error { return e.cause }

// journal stores a shared log.
type journal interface {
	// begin makes an empty log, to be filled by append, unless there is a complete one.
	begin(ctx context.Context) (name string, err error)
	// append appends operations to a log that holds every entry up to known, and returns its last entry. complete says that
	// the log holds every pull now. It leaves out states of pulls that the log has forgotten. It returns errNoLog when the
	// log is not the one that is named, and errGap when it has lost entries up to known.
	append(ctx context.Context, name string, known tail, versions feed.ResourceVersions, complete bool, operations ...operation) (tail, error)
	// load returns all that the log holds, errNoLog when there is none or it is not complete, and an unreadableError when
	// what is there is no log of this form.
	load(ctx context.Context) (*contents, error)
	// read waits for entries of a log after an ID and returns them; none when blockTime has passed.
	read(ctx context.Context, name, after string) ([]logEntry, error)
	// holds returns the name of the log, and whether it holds every entry up to known. One that it has dropped because of its
	// length counts as held.
	holds(ctx context.Context, known tail) (name string, held bool, err error)
	// destroy removes the log that is named. What it held is made again from the cluster, as a new log.
	destroy(ctx context.Context, name string) error
	// close ends all calls and returns when none is under way.
	close()
}

// tail is the last entry of a log, as far as somebody knows. The zero tail stands before every log.
type tail struct {
	offset uint64
	id     string // Redis's name for it; empty while nothing has been appended
}

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
	// unproven is, with entryHeartbeat, how long ago the leader's watch was last known to be live.
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
	// id is Redis's name for it, previous that of the entry before it.
	id, previous string
	// unproven is, with entryHeartbeat, as in operation; negative when the entry has none.
	unproven time.Duration
	time     time.Time
}

// contents is all that the log holds.
type contents struct {
	feed.Snapshot
	lastID string // the ID of the last entry; empty for none
	// silence is how long ago the last heartbeat came.
	silence time.Duration
}
