package sharedlog

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// keys are where the shared log lives in Redis. It can be made again from the cluster, so nothing is lost with it.
type keys struct {
	// pulls is a hash: by id, the pull's latest state with its place in the log; and under names that no pull has, what
	// is to be known of the log itself. That is one key so that it is evicted as a whole or not at all.
	pulls string
	// updates is a stream of the latest changes. An entry's id is its place in the log and a random number, by which a
	// reader notices that Redis came back with another log than it had.
	updates string
	// gone is a list of the retired pulls, oldest first.
	gone string
}

func newKeys(prefix string) keys {
	return keys{pulls: prefix + "pulls", updates: prefix + "updates", gone: prefix + "gone"}
}

func (k keys) all() []string { return []string{k.pulls, k.updates, k.gone} }

// Fields of the hash that are no pulls: the name of the log, the place of its last entry, the highest place of any pull that
// was forgotten, when the newest of those was created, as order keys begin, the marks, when the last sign of life came, in seconds by Redis's clock, and whether the log is complete.
const (
	fieldLog     = "#log"
	fieldSeq     = "#seq"
	fieldHorizon = "#horizon"
	fieldMarks   = "#marks"
	fieldBeat    = "#beat"
	fieldReady   = "#ready"
	fieldLast    = "#last"
)

// Kinds of entries.
const (
	entryState  = "s"
	entryGone   = "g"
	entryBeat   = "b"
	entryResign = "r"
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

// Lengths within a pull's value: of what pull.Job.OrderKey returns, and of a place in decimal digits.
const (
	orderLength = 61
	placeLength = 16
)

// noLog is how append.lua begins its error when the log is not the one that was meant.
const noLog = "NOLOG"
