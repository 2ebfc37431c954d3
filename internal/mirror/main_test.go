package mirror

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// No test may meet the credentials of whoever runs it.
	if err := os.Setenv("DOCKER_CONFIG", "testdata/no-credentials"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
