package follow

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/logline"
)

// checkEnd checks that the log of a run that has ended was read to its end. When a node breaks off, the API server may end
// the response as though it were whole. So checkEnd asks for the last line of the log and compares it with ours. It sets
// r.complete, and returns an error when there is more to read.
func (r *runReader) checkEnd(ctx context.Context, req podlog.LogRequest) error {
	if r.last.said != "" && !r.last.dated {
		return nil // the node has deleted the log
	}
	nothingNew := r.last.found() && r.last.rest == nil && r.progress.Position == r.last.search.Want
	if r.ends > 1 && nothingNew {
		return nil
	}
	nanos, sum, err := r.lastLine(ctx, req)
	if err != nil {
		return err
	}
	p := r.progress.Position
	if rest := r.last.rest; rest != nil {
		p.Advance(rest.nanos, rest.sum)
	}
	switch {
	case nanos == 0 && sum != 0:
		// The node has deleted the log meanwhile.
	case nanos == p.Nanos && sum == p.Sum, p.IsZero() && logline.Time(nanos).Before(r.begins()):
		r.complete = true
	case !r.last.found() && nanos <= p.Latest():
		// Our last line is not there any more, and there is no later one. Without any log, r.complete keeps its value.
		r.complete = r.complete && nanos == 0
	default:
		return errCutOff
	}
	return nil
}

// lastLine returns the timestamp and the checksum of the log's last line; zeros when there is none.
func (r *runReader) lastLine(ctx context.Context, req podlog.LogRequest) (nanos int64, sum uint32, err error) {
	one := 1
	req.Tail = &one
	ctx, cancel := context.WithTimeout(ctx, stallLimit)
	defer cancel()
	log, err := r.source.OpenLog(ctx, req)
	if err != nil {
		return 0, 0, fmt.Errorf("open end of log: %w", err)
	}
	defer log.Close()
	var stamps logline.Parser
	for lines := logline.NewReader(log); ; {
		line, _, err := lines.Next()
		if len(line) > 0 {
			stamp, message := stamps.Cut(line)
			nanos, sum = stamp, cursor.Checksum(message)
		}
		if errors.Is(err, io.EOF) {
			if logline.IsCutTimestamp(line) {
				return 0, 0, errCutOff
			}
			return nanos, sum, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("read end of log: %w", err)
		}
	}
}
