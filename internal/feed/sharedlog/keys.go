package sharedlog

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// keys are the names of the log's keys in Redis. The log can be made again from the cluster, so nothing is lost with it.
type keys struct {
	// pulls is a hash of each pull's latest state with its offset, by id, and of the fields below. It is one key, so that
	// Redis evicts all of it or nothing.
	pulls string
	// updates is a stream of the latest entries. The random number in their IDs tells two logs with the same offsets apart.
	updates string
	// gone is a list of the retired pulls, oldest first.
	gone string
}

func newKeys(prefix string) keys {
	return keys{pulls: prefix + "pulls", updates: prefix + "updates", gone: prefix + "gone"}
}

func (k keys) all() []string { return []string{k.pulls, k.updates, k.gone} }

// Fields of the hash that are not pulls.
const (
	fieldLog       = "#log"     // the log's name
	fieldSeq       = "#seq"     // the offset of its last entry
	fieldHorizon   = "#horizon" // the highest offset of any pull that it has forgotten
	fieldMarks     = "#marks"   // its resourceVersions
	fieldHeartbeat = "#beat"    // when the last heartbeat came, in seconds by Redis's clock
	fieldReady     = "#ready"   // set once it is complete: it holds every pull
	fieldLast      = "#last"    // the ID of its last entry
)

// Kinds of entries.
const (
	entryState     = "s"
	entryRetired   = "g"
	entryHeartbeat = "b"
	entryResign    = "r"
)

var (
	//go:embed begin.lua
	beginSource string
	//go:embed append.lua
	appendSource string
	//go:embed destroy.lua
	destroySource string

	beginScript   = redis.NewScript(beginSource)
	appendScript  = redis.NewScript(appendSource)
	destroyScript = redis.NewScript(destroySource)
	// timeScript returns the seconds of Redis's clock. It takes a key, so that in a Redis Cluster the server that holds the log is
	// asked: by its clock the log tells the time of the last heartbeat. TIME alone may ask any server.
	timeScript = redis.NewScript(`return tonumber(redis.call('TIME')[1])`)
)

// Lengths in a pull's value, in bytes: of pull.State.OrderKey, and of the offset in decimal digits.
const (
	orderLength  = 61
	offsetLength = 16
)

// The first words of append.lua's errors: the log has another name, or has lost entries that the caller knows.
const (
	noLog   = "NOLOG"
	lostEnd = "LOSTEND"
)
