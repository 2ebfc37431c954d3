package replica

import (
	"testing"

	"pullwatch/internal/redis/redistest"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }
