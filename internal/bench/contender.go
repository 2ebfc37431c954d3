package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// contender is one of the servers of subscriptions that are compared, with clients of its own.
type contender struct {
	name string
	// server and clients take orders; address is where the server serves GraphQL.
	server, clients *process
	address         string
	pulls           int
}

// contend starts a server, pullwatch or gqlgen, with a number of pulls, and its clients.
func (b *bench) contend(ctx context.Context, name string, pulls int) (*contender, error) {
	return b.startContender(ctx, name, pulls, serveCommand, name, strconv.Itoa(pulls))
}

// contendPrepared starts what sends text to all at each update, as a prepared message, with a number of writers.
func (b *bench) contendPrepared(ctx context.Context, text string, writers int) (*contender, error) {
	file := filepath.Join(b.dir, "update.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return b.startContender(ctx, preparedBy(writers), 1, preparedCommand, file, strconv.Itoa(writers))
}

func (b *bench) startContender(
	ctx context.Context, name string, pulls int, command string, arguments ...string,
) (*contender, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, address: address, pulls: pulls}
	arguments = append(append([]string{address}, arguments...), b.profile(name))
	if c.server, err = startSelf(ctx, command, arguments...); err != nil {
		return nil, err
	}
	if c.clients, err = startSelf(ctx, clientsCommand, address, c.server.address); err != nil {
		c.server.close()
		return nil, err
	}
	return c, nil
}

func (c *contender) close() {
	c.clients.close()
	c.server.close()
}

// profile returns the file for the CPU profile of a server, empty if none is wanted.
func (b *bench) profile(name string) string {
	if b.profiles == "" {
		return ""
	}
	b.profiled++
	return filepath.Join(b.profiles, strconv.Itoa(b.profiled)+"-"+b.part+"-"+strings.ReplaceAll(name, " ", "-")+".pprof")
}

// openEvenly is how many connections are opened at a time where it does not matter how fast.
const openEvenly = 32

func (c *contender) open(ctx context.Context, o opening) (opened, error) {
	o.Pulls = c.pulls
	if o.AtOnce == 0 {
		o.AtOnce = openEvenly
	}
	return tell[opened](ctx, c.clients.address, "/open", o)
}

func (c *contender) closeAll(ctx context.Context) error {
	_, err := tell[struct{}](ctx, c.clients.address, "/close", struct{}{})
	return err
}

func (c *contender) publish(ctx context.Context, p publication) error {
	_, err := tell[struct{}](ctx, c.server.address, "/publish", p)
	return err
}

func (c *contender) usage(ctx context.Context) (used, error) {
	return tell[used](ctx, c.server.address, "/usage", struct{}{})
}

// updates is a turn in which one update after the other is published, each when all have the one before.
func (c *contender) updates(u updating) turn {
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		u := u
		u.For, u.AtLeast = time.Until(until), max(u.AtLeast, 1)
		all, err := tell[[]time.Duration](ctx, c.clients.address, "/updates", u)
		for _, d := range all {
			took(d)
		}
		return err
	}
}
