package mirror

import (
	"fmt"
	"io"
	"strings"
	"time"

	"pullwatch/internal/pull"
)

// reportLines writes each pull.Report as a line. That a log cannot be written is no reason to stop copying.
type reportLines struct{ out io.Writer }

func (l reportLines) event(r pull.Report)    { _, _ = fmt.Fprintln(l.out, r) }
func (l reportLines) progress(r pull.Report) { l.event(r) }

const (
	defaultWidth = 80
	maxBarWidth  = 40
)

// bar reports to a terminal: what happens as plain lines, and below them a line that is drawn over and over.
type bar struct {
	out io.Writer
	// width returns the columns of the terminal.
	width func() int
}

// clearLine goes to the beginning of the line and erases it.
const clearLine = "\r\x1b[K"

func (b *bar) event(r pull.Report) {
	_, _ = fmt.Fprintf(b.out, "%s%s\n", clearLine, r.Message)
}

func (b *bar) progress(r pull.Report) {
	if r.BytesTotal == nil {
		return
	}
	figures := fmt.Sprintf(" %3d%%  %s of %s", percent(r.BytesDone, *r.BytesTotal), pull.FormatBytes(r.BytesDone), pull.FormatBytes(*r.BytesTotal))
	if r.BytesPerSecond > 0 {
		left := time.Duration((*r.BytesTotal-r.BytesDone)/r.BytesPerSecond) * time.Second
		figures += fmt.Sprintf("  %s/s  %s left", pull.FormatBytes(r.BytesPerSecond), left)
	}
	// The last column stays free: terminals wrap the line there.
	room := min(b.width()-1-len(figures)-len("[]"), maxBarWidth)
	if room < 1 {
		_, _ = fmt.Fprint(b.out, clearLine, strings.TrimSpace(figures))
		return
	}
	full := percent(r.BytesDone, *r.BytesTotal) * room / 100
	_, _ = fmt.Fprintf(b.out, "%s[%s%s]%s", clearLine, strings.Repeat("=", full), strings.Repeat(" ", room-full), figures)
}

func percent(done, total int64) int {
	if total == 0 {
		return 100
	}
	return int(float64(done) / float64(total) * 100)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", max(d.Seconds(), 1)) }
