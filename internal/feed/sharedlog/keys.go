package sharedlog

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// keys are where the shared log lives in Redis. It can be made again from the cluster, so nothing is lost with it.
type keys struct {
	// pulls is a hash: by id, the pull's latest state with its offset in the log; and the fields below. That is one key so
	// that Redis evicts it as a whole or not at all.
	pulls string
	// updates is a stream of the latest entries. An entry's ID is its offset and a random number. By that number a reader
	// notices that Redis came back with another log than it had.
	updates string
	// gone is a list of the retired pulls, oldest first.
	gone string
}

func newKeys(prefix string) keys {
	return keys{pulls: prefix + "pulls", updates: prefix + "updates", gone: prefix + "gone"}
}

func (k keys) all() []string { return []string{k.pulls, k.updates, k.gone} }

// Fields of the hash that are no pulls.
const (
	fieldLog       = "#log"     // its name
	fieldSeq       = "#seq"     // the offset of its last entry
	fieldHorizon   = "#horizon" // the highest offset of any pull that it has forgotten
	fieldMarks     = "#marks"   // the resourceVersions up to which it has held every change
	fieldHeartbeat = "#beat"    // when the last heartbeat came, in seconds by Redis's clock
	fieldReady     = "#ready"   // set once it holds every pull
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
)

// Lengths within a pull's value: of what pull.State.OrderKey returns, and of an offset in decimal digits.
const (
	orderLength  = 61
	offsetLength = 16
)

// How append.lua begins its errors: the log is not the one that was meant, or has lost entries that the caller knows.
const (
	noLog   = "NOLOG"
	lostEnd = "LOSTEND"
)
