package transport

import (
	"context"
	"errors"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

func TestSubscriberLearnsWhyItsSubscriptionEnds(t *testing.T) {
	var errs SubscriptionErrors
	type key struct{}
	ctx := context.WithValue(WithOperation(t.Context(), &errs), key{}, "a resolver's")
	for _, message := range []string{"lost", "and gone"} {
		if !AddSubscriptionError(ctx, gqlerror.Errorf("%s", message)) {
			t.Errorf("%q was not taken", message)
		}
	}
	if got := errs.Errors(); len(got) != 2 || got[0].Message != "lost" || got[1].Message != "and gone" {
		t.Errorf("%v", got)
	}
	if AddSubscriptionError(t.Context(), gqlerror.Errorf("lost")) {
		t.Error("an error was taken for no operation")
	}
}

// executor presents panics as f does.
type executor struct {
	graphql.GraphExecutor
	present func(panicked any) error
}

func (e executor) PresentRecoveredError(_ context.Context, panicked any) error {
	return e.present(panicked)
}

func TestClientsSeeOfAPanicWhatTheServerSays(t *testing.T) {
	masked := gqlerror.Errorf("something went wrong inside")
	for name, c := range map[string]struct {
		executor graphql.GraphExecutor
		want     *gqlerror.Error
	}{
		"presented":             {executor{present: func(any) error { return masked }}, masked},
		"presenting panics":     {executor{present: func(any) error { panic("again") }}, nil},
		"not an error to show":  {executor{present: func(any) error { return errors.New("secret") }}, nil},
		"nobody to present it":  {nil, nil},
		"presented as no error": {executor{present: func(any) error { return nil }}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := PresentPanic(t.Context(), c.executor, "secret"); got != c.want {
				t.Errorf("%v, not %v", got, c.want)
			}
		})
	}
}
