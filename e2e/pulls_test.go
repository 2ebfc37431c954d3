package e2e

import (
	"testing"
	"time"
)

// pullJob is a PullJob of the schema.
type pullJob struct {
	ID          string
	Image       imageReference
	Destination imageReference
	Platforms   []string
	Phase       string
	Message     string
	Held        bool
	Progress    progress
	Attempts    int
	Failure     *failure
	RetryOf     *string
	CreatedAt   time.Time
	StartedAt   *time.Time
	FinishedAt  *time.Time
	UpdatedAt   time.Time
	Revision    string
}

type imageReference struct {
	Name, Registry, Repository string
	Tag, Digest                *string
}

type progress struct {
	Percent        int
	BytesDone      int64
	BytesTotal     *int64
	BytesPerSecond *int64
	SecondsLeft    *int
}

type failure struct {
	Reason, Message, Remedy string
	LogTail                 []string
}

func (p pullJob) final() bool { return final(p.Phase) }

func final(phase string) bool {
	return phase == "SUCCEEDED" || phase == "FAILED" || phase == "CANCELED"
}

func (p pullJob) is(phase string) bool { return p.Phase == phase }

type startResult struct {
	Image  string
	Pull   *pullJob
	Joined bool
	Error  *struct{ Code, Message string }
}

const (
	imageFields = `name registry repository tag digest`
	pullFields  = `id image { ` + imageFields + ` } destination { ` + imageFields + ` } platforms phase message held attempts retryOf
		progress { percent bytesDone bytesTotal bytesPerSecond secondsLeft }
		failure { reason message remedy logTail }
		createdAt startedAt finishedAt updatedAt revision`
)

// start starts pulls to the server's destination.
func (s *server) start(t *testing.T, images ...string) []startResult {
	t.Helper()
	return s.startWith(t, map[string]any{"images": images})
}

// startTo starts a pull to a destination of its own, of these platforms or else of all, which is not refused.
func (s *server) startTo(t *testing.T, destination, image string, platforms ...string) pullJob {
	t.Helper()
	result := s.startWith(t, map[string]any{"images": []string{image}, "destination": destination, "platforms": platforms})[0]
	if result.Error != nil || result.Pull == nil {
		t.Fatalf("start %s to %s: %+v", image, destination, result)
	}
	return *result.Pull
}

// startWith returns a result for each image of a StartPullsInput.
func (s *server) startWith(t *testing.T, input map[string]any) []startResult {
	t.Helper()
	var data struct {
		StartPulls struct{ Results []startResult }
	}
	err := s.Ask(t.Context(), `mutation($input: StartPullsInput!) {
		startPulls(input: $input) { results { image joined error { code message } pull { `+pullFields+` } } }
	}`, map[string]any{"input": input}, &data)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(data.StartPulls.Results), len(input["images"].([]string)); got != want {
		t.Fatalf("%d results for %d images", got, want)
	}
	return data.StartPulls.Results
}

// startAll starts pulls none of which is refused.
func (s *server) startAll(t *testing.T, images ...string) []pullJob {
	t.Helper()
	var pulls []pullJob
	for _, r := range s.start(t, images...) {
		if r.Error != nil || r.Pull == nil {
			t.Fatalf("start %s: %+v", r.Image, r)
		}
		pulls = append(pulls, *r.Pull)
	}
	return pulls
}

func (s *server) startOne(t *testing.T, image string) pullJob {
	t.Helper()
	return s.startAll(t, image)[0]
}

// pull returns one pull, nil when there is none.
func (s *server) pull(t *testing.T, id string) *pullJob {
	t.Helper()
	var data struct{ PullJob *pullJob }
	if err := s.Ask(t.Context(), `query($id: ID!) { pullJob(id: $id) { `+pullFields+` } }`, map[string]any{"id": id}, &data); err != nil {
		t.Fatal(err)
	}
	return data.PullJob
}

func (s *server) activePulls(t *testing.T) []pullJob {
	t.Helper()
	var data struct{ ActivePulls []pullJob }
	if err := s.Ask(t.Context(), `{ activePulls { `+pullFields+` } }`, nil, &data); err != nil {
		t.Fatal(err)
	}
	return data.ActivePulls
}

func (s *server) failedPulls(t *testing.T) []pullJob {
	t.Helper()
	var data struct{ FailedPulls []pullJob }
	if err := s.Ask(t.Context(), `{ failedPulls(limit: 500) { `+pullFields+` } }`, nil, &data); err != nil {
		t.Fatal(err)
	}
	return data.FailedPulls
}

func (s *server) cancel(t *testing.T, id string) (pullJob, error) {
	var data struct{ CancelPull pullJob }
	err := s.Ask(t.Context(), `mutation($id: ID!) { cancelPull(id: $id) { `+pullFields+` } }`, map[string]any{"id": id}, &data)
	return data.CancelPull, err
}

func (s *server) retry(t *testing.T, id string) (pullJob, error) {
	var data struct{ RetryPull pullJob }
	err := s.Ask(t.Context(), `mutation($id: ID!) { retryPull(id: $id) { `+pullFields+` } }`, map[string]any{"id": id}, &data)
	return data.RetryPull, err
}

func (s *server) hold(t *testing.T, id string) (pullJob, error) {
	var data struct{ HoldPull pullJob }
	err := s.Ask(t.Context(), `mutation($id: ID!) { holdPull(id: $id) { `+pullFields+` } }`, map[string]any{"id": id}, &data)
	return data.HoldPull, err
}

func (s *server) release(t *testing.T, id string) (pullJob, error) {
	var data struct{ ReleasePull pullJob }
	err := s.Ask(t.Context(), `mutation($id: ID!) { releasePull(id: $id) { `+pullFields+` } }`, map[string]any{"id": id}, &data)
	return data.ReleasePull, err
}

// updates subscribes to the updates of some pulls, of all with no ids.
func (s *server) updates(t *testing.T, ids ...string) *subscription[pullJob] {
	t.Helper()
	return subscribe[pullJob](t, s, `subscription($ids: [ID!]) { pullJobUpdated(ids: $ids) { `+pullFields+` } }`, map[string]any{"ids": ids})
}

// outcome waits for the end of a pull and returns its last state.
func (s *server) outcome(t *testing.T, id string) pullJob {
	t.Helper()
	updates := s.updates(t, id).rest(t)
	if len(updates) == 0 {
		t.Fatalf("no update of %s", id)
	}
	last := updates[len(updates)-1]
	if !last.final() {
		t.Fatalf("the updates ended before the pull did: %+v", last)
	}
	return last
}

// outcomes waits for the end of all these pulls and returns their last states by id.
func (s *server) outcomes(t *testing.T, ids ...string) map[string]pullJob {
	t.Helper()
	last := map[string]pullJob{}
	for _, update := range s.updates(t, ids...).rest(t) {
		last[update.ID] = update
	}
	for _, id := range ids {
		if !last[id].final() {
			t.Errorf("the updates ended before %s did: %+v", id, last[id])
		}
	}
	return last
}

func idsOf(pulls []pullJob) []string {
	ids := make([]string, len(pulls))
	for i, p := range pulls {
		ids[i] = p.ID
	}
	return ids
}

func find(pulls []pullJob, id string) *pullJob {
	for i := range pulls {
		if pulls[i].ID == id {
			return &pulls[i]
		}
	}
	return nil
}
