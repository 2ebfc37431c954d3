package follow

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

func TestTimestampIsNeverZero(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		want []time.Duration // since start; in one hour when they are read
	}{
		"none has one":       {"a\nb", []time.Duration{time.Hour, time.Hour}},
		"the first has none": {"a\n" + at(1000, "b"), []time.Duration{time.Hour, time.Second}},
		"one has none":       {at(1000, "a") + "b\n" + at(2000, "c"), []time.Duration{time.Second, time.Second, 2 * time.Second}},
		"the last has none":  {at(1000, "a") + "b", []time.Duration{time.Second, time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				read := time.Now().UTC()
				source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return text(test.log), nil },
					pods(finished(pod("web", ended("1", 0, "Completed")))))
				st := startStream(t, source, podInput())
				var got []time.Duration
				for {
					batch, err := st.Next(t.Context())
					if err != nil {
						break
					}
					for _, line := range batch.Lines {
						if line.Timestamp.Equal(read) {
							got = append(got, time.Hour)
						} else {
							got = append(got, line.Timestamp.Sub(start))
						}
					}
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("got %v, want %v", got, test.want)
				}
			})
		})
	}
}
