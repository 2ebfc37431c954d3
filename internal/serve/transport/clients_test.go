package transport

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"pullwatch/internal/usererr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// admitted returns Clients with n members, 0 to n-1, all of one caller.
func admitted(t *testing.T, n int) *Clients[int] {
	t.Helper()
	c := NewClients[int]("streams", n, n)
	for client := range n {
		if refused := c.Admit("a"); refused != nil {
			t.Fatal(refused)
		}
		c.Add(client)
	}
	return c
}

// release is what a transport does when nothing of a client is left.
func release(c *Clients[int], client int) {
	c.Remove(client)
	c.Release("a", func() {})
}

func TestClientLearnsWhyItIsRefused(t *testing.T) {
	c := NewClients[int]("streams", 2, 1)
	refuses := func(caller string, status int, code usererr.Code, message string) {
		t.Helper()
		refused := c.Admit(caller)
		if refused == nil || refused.Status != status || refused.Code != code || !strings.Contains(refused.Error(), message) {
			t.Fatalf("%s got %+v", caller, refused)
		}
	}
	if refused := c.Admit("a"); refused != nil {
		t.Fatal(refused)
	}
	refuses("a", 429, usererr.LimitExceeded, "too many streams from your address")
	if refused := c.Admit("b"); refused != nil {
		t.Fatalf("another caller: %v", refused)
	}
	refuses("c", 503, usererr.LimitExceeded, "as many streams as it takes")
	c.Release("a", func() {})
	c.Release("b", func() {})
	if err := c.Drain(t.Context(), 0, nil, nil, func() {}); err != nil {
		t.Fatal(err)
	}
	refuses("a", 503, usererr.Unavailable, "the server is stopping")
}

func TestRoomOfAClientThatLeftIsFreeWhenItsEndIsReported(t *testing.T) {
	c := NewClients[int]("streams", 1, 1)
	if refused := c.Admit("a"); refused != nil {
		t.Fatal(refused)
	}
	c.Release("a", func() {
		if refused := c.Admit("a"); refused != nil {
			t.Error(refused)
		}
	})
	c.Release("a", func() {})
	c.Wait()
	if len(c.callers) != 0 {
		t.Errorf("callers without clients take memory: %v", c.callers)
	}
}

func TestClientsOfAStoppedServerDoNotAllComeBackAtOnce(t *testing.T) {
	for name, c := range map[string]struct{ over, gap time.Duration }{
		"many": {8 * time.Millisecond, 2 * time.Millisecond},
		"few":  {time.Minute, widestGap},
		"now":  {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clients := admitted(t, 4)
				begun := time.Now()
				var ends []time.Duration
				err := clients.Drain(t.Context(), c.over, func(client int) {
					ends = append(ends, time.Since(begun))
					release(clients, client)
				}, nil, func() {})
				if want := []time.Duration{0, c.gap, 2 * c.gap, 3 * c.gap}; err != nil || !slices.Equal(ends, want) {
					t.Errorf("clients ended after %v, not %v (%v)", ends, want, err)
				}
			})
		})
	}
}

func TestServerStopsOnlyWhenNothingOfItsClientsIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := admitted(t, 2)
		others := make(chan struct{})
		drained := make(chan error, 1)
		go func() { drained <- clients.Drain(t.Context(), 0, func(int) {}, nil, func() { <-others }) }()
		isDraining := func(what string) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-drained:
				t.Fatalf("Drain returned %v with %s left", err, what)
			default:
			}
		}
		release(clients, 0)
		isDraining("a client")
		release(clients, 1)
		isDraining("something of the transport")
		close(others)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestClientsThatDoNotLeaveInTimeAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := admitted(t, 3)
		late := errors.New("late")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, late)
		defer cancel()
		begun := time.Now()
		ended, cut := 0, 0
		err := clients.Drain(ctx, time.Hour, func(client int) {
			if ended++; client == 0 {
				release(clients, client)
			}
		}, func(client int) {
			cut++
			time.AfterFunc(time.Second, func() { release(clients, client) })
		}, func() {})
		if took := time.Since(begun); ended != 3 || cut != 2 || took != 2*time.Second || !errors.Is(err, late) {
			t.Errorf("after %v: %d were ended and %d cut off: %v", took, ended, cut, err)
		}
	})
}

func TestClientThatComesWhileTheServerStopsIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := NewClients[int]("streams", 1, 1)
		if refused := clients.Admit("a"); refused != nil {
			t.Fatal(refused)
		}
		drained := make(chan error, 1)
		go func() { drained <- clients.Drain(t.Context(), 0, func(int) {}, nil, func() {}) }()
		synctest.Wait()
		if !clients.Add(0) {
			t.Error("nobody would end the client")
		}
		release(clients, 0)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}
