package pullstate_test

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

func TestWhichFailuresOthersWouldMeetToo(t *testing.T) {
	source := pullstate.Scope{Side: pull.SourceSide, Registry: "docker.io"}
	destination := pullstate.Scope{Side: pull.DestinationSide, Registry: "harbor.example"}
	for name, c := range map[string]struct {
		outcome pull.Outcome
		want    *pullstate.Scope
	}{
		"the source is away":               {pull.Outcome{Reason: pull.Network, Side: pull.SourceSide}, &source},
		"the destination is away":          {pull.Outcome{Reason: pull.Network, Side: pull.DestinationSide}, &destination},
		"nobody knows which is away":       {pull.Outcome{Reason: pull.Network}, nil},
		"the source's certificate":         {pull.Outcome{Reason: pull.TLS, Side: pull.SourceSide}, &source},
		"the source has had enough":        {pull.Outcome{Reason: pull.RateLimited, Side: pull.SourceSide}, &source},
		"the source hangs":                 {pull.Outcome{Reason: pull.Timeout, Side: pull.SourceSide}, &source},
		"the destination fails":            {pull.Outcome{Reason: pull.Unknown, Side: pull.DestinationSide}, &destination},
		"a crash":                          {pull.Outcome{Reason: pull.Unknown}, nil},
		"no room at the destination":       {pull.Outcome{Reason: pull.DiskFull, Side: pull.DestinationSide}, &destination},
		"no room on the node":              {pull.Outcome{Reason: pull.DiskFull}, &pullstate.Scope{}},
		"a ResourceQuota":                  {pull.Outcome{Reason: pull.Quota}, &pullstate.Scope{}},
		"the copier's image":               {pull.Outcome{Reason: pull.CopierImage}, &pullstate.Scope{}},
		"no such image":                    {pull.Outcome{Reason: pull.NotFound, Side: pull.SourceSide}, nil},
		"no login":                         {pull.Outcome{Reason: pull.Unauthorized, Side: pull.SourceSide}, nil},
		"no such platform":                 {pull.Outcome{Reason: pull.NoPlatform, Side: pull.SourceSide}, nil},
		"too large an image for its limit": {pull.Outcome{Reason: pull.OutOfMemory}, nil},
		"an image that a policy refuses":   {pull.Outcome{Reason: pull.Refused}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := statetest.New().Record(pullstate.Record{Ran: true, Ended: true, Outcome: c.outcome})
			id, err := pullstate.Identify(w.Job)
			if err != nil {
				t.Fatal(err)
			}
			if got := pullstate.SharedCause(id, w.Job); got != nil {
				t.Errorf("while it has not failed: %+v", got)
			}
			w.Condition(batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded, "")
			got := pullstate.SharedCause(id, w.Job)
			if (got == nil) != (c.want == nil) || (got != nil && (got.Scope != *c.want || got.Reason != c.outcome.Reason)) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// Such a pull never had an attempt.
func TestAPullThatNeverStartedIsNotToBlame(t *testing.T) {
	w := statetest.New().Record(pullstate.Record{Next: &pull.Outcome{Reason: pull.Quota, Message: "exceeded quota"}})
	w.Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "")
	id, err := pullstate.Identify(w.Job)
	if err != nil {
		t.Fatal(err)
	}
	if got := pullstate.SharedCause(id, w.Job); got == nil || got.Reason != pull.Quota {
		t.Errorf("%+v", got)
	}
}
