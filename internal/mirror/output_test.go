package mirror

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pullwatch/internal/pull"
)

func TestTheBarFitsTheTerminal(t *testing.T) {
	total := int64(200_000_000)
	report := pull.Report{Message: "not shown again", BytesDone: 50_000_000, BytesTotal: &total,
		BytesPerSecond: 10_000_000}
	for _, test := range []struct {
		width int
		want  string
	}{
		{100, "[==========                              ]  25%  50 MB of 200 MB  10 MB/s  15s left"},
		{70, "[======                    ]  25%  50 MB of 200 MB  10 MB/s  15s left"},
		{20, "25%  50 MB of 200 MB  10 MB/s  15s left"},
	} {
		var out bytes.Buffer
		(&bar{out: &out, width: func() int { return test.width }}).progress(report)
		if got := strings.TrimPrefix(out.String(), clearLine); got != test.want {
			t.Errorf("%d columns: %q, want %q", test.width, got, test.want)
		}
	}
}

func TestMessagesStayAboveTheBar(t *testing.T) {
	var out bytes.Buffer
	b := &bar{out: &out, width: func() int { return defaultWidth }}
	none, some := int64(0), int64(4)
	b.progress(pull.Report{})
	b.event(pull.Report{Message: "Copying"})
	b.progress(pull.Report{BytesTotal: &none})
	b.progress(pull.Report{BytesTotal: &some, BytesDone: 4})
	b.event(pull.Report{Message: "Copied"})
	got := out.String()
	if strings.Count(got, "\n") != 2 || strings.Count(got, "100%") != 2 || !strings.HasSuffix(got, clearLine+"Copied\n") {
		t.Errorf("output %q", got)
	}
}

func TestReportsAreLines(t *testing.T) {
	var out bytes.Buffer
	total := int64(10)
	l := reportLines{&out}
	reports := []pull.Report{
		{Time: time.Unix(0, 0).UTC(), Message: "Reading"},
		{Time: time.Unix(1, 0).UTC(), Message: "Copying", BytesDone: 4, BytesTotal: &total, BytesPerSecond: 2},
	}
	l.event(reports[0])
	l.progress(reports[1])
	var got []pull.Report
	for line := range strings.Lines(out.String()) {
		r, ok := pull.ParseReport(strings.TrimSpace(line))
		if !ok {
			t.Errorf("not a report: %s", line)
		}
		got = append(got, r)
	}
	if !reflect.DeepEqual(got, reports) {
		t.Errorf("got %+v of %s", got, &out)
	}
}

// A registry's words can be such that JSON needs six bytes for each of theirs.
func TestOutcomeFitsWhateverWasSaid(t *testing.T) {
	said := strings.Repeat("\x00", maxUnconfirmed)
	for title, outcome := range map[string]pull.Outcome{
		"message":     {Reason: pull.Invalid, Message: said},
		"unconfirmed": {Digest: "sha256:1", Unconfirmed: said},
	} {
		t.Run(title, func(t *testing.T) {
			encoded, err := encodeOutcome(outcome)
			if err != nil || len(encoded) > maxOutcome {
				t.Fatalf("%d bytes, %v", len(encoded), err)
			}
			var got pull.Outcome
			if err := json.Unmarshal(encoded, &got); err != nil || got.Digest != outcome.Digest ||
				len(got.Message+got.Unconfirmed) < 100 {
				t.Errorf("kept %s", encoded)
			}
		})
	}
}

func TestCommandWritesLogAndOutcome(t *testing.T) {
	dir := t.TempDir()
	stdout, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	termination := filepath.Join(dir, "termination")
	opts := Options{Source: "UPPER", Destination: "localhost/x"}
	if code := Command(t.Context(), opts, stdout, termination); code != pull.ExitPermanent {
		t.Errorf("exit code %d", code)
	}
	Command(t.Context(), opts, stdout, filepath.Join(dir, "missing", "termination"))
	log, err := os.ReadFile(stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := os.ReadFile(termination)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], "could not be written") || !strings.Contains(lines[2], "UPPER") ||
		!strings.Contains(string(outcome), `"reason":"INVALID"`) {
		t.Errorf("log %s, outcome %s", log, outcome)
	}
}
