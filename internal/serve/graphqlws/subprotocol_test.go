package graphqlws

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/client"
	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/transport/transporttest"
)

const keepAlive = `{"type":"ka"}`

// As TestClientsGetWhatTheProtocolSays, for the legacy protocol.
func TestClientsOfTheLegacyProtocolGetWhatItSays(t *testing.T) {
	const ready = "> " + initMessage + "\n< " + ackMessage + "\n< " + keepAlive + "\n"
	const bye = "\n> bye\n< close 1000"
	const one = `< {"id":"1","type":"data","payload":{"data":{"one":1}}}` + "\n"
	const completed = `< {"id":"1","type":"complete"}`
	refused := func(reason string) string {
		return `< {"type":"connection_error","payload":{"message":"` + reason + `"}}` + "\n"
	}
	tooLong := `{"type":"connection_init","payload":{"x":"` + strings.Repeat("x", 2000) + `"}}`
	for _, c := range []struct{ rule, exchange string }{
		{"connection_init is acknowledged, and ka follows", ready + "> bye\n< close 1000"},
		{"connection_init may have a payload", `> {"type":"connection_init","payload":{"user":"ann"}}` + "\n" + `< {"type":"connection_ack","payload":{"hello":"ann"}}` + "\n< " + keepAlive + "\n> " + start("1", "user") + "\n" + `< {"id":"1","type":"data","payload":{"data":{"user":"ann"}}}` + "\n" + completed + bye},
		{"a rejected connection_init gets connection_error", `> {"type":"connection_init","payload":{"user":"old"}}` + "\n" + refused("token expired") + "< close 4403 token expired"},
		{"connection_init comes once", ready + "> " + initMessage + "\n" + refused("Too many initialisation requests") + "< close 4429"},
		{"start comes after connection_init", "> " + start("1", "{one}") + "\n" + refused("Unauthorized: an operation came before connection_ack") + "< close 4401"},
		{"an operation has data, then complete", ready + "> " + start("1", "{one}") + "\n" + one + completed + bye},
		{"operationName, variables and extensions arrive", ready + `> {"id":"1","type":"start","payload":{"query":"echo","operationName":"n","variables":{"a":1},"extensions":{"b":2}}}` + "\n" + `< {"id":"1","type":"data","payload":{"data":{"extensions":{"b":2},"name":"n","variables":{"a":1}}}}` + "\n" + completed + bye},
		{"errors of fields travel in data", ready + "> " + start("1", "field error") + "\n" + `< {"id":"1","type":"data","payload":{"errors":[{"message":"oops"}],"data":{"a":null},"extensions":{"x":1}}}` + "\n" + completed + bye},
		{"an error is an object, and no complete follows", ready + "> " + start("1", "invalid") + "\n" + `< {"id":"1","type":"error","payload":{"message":"invalid"}}` + bye},
		{"a stream that fails ends with error", ready + "> " + start("1", "three, then error") + strings.Repeat("\n"+`< {"id":"1","type":"data","payload":{"data":{"n":1}}}`, 3) + "\n" + `< {"id":"1","type":"error","payload":{"message":"lost"}}` + bye},
		{"an operation above the limit gets an error", ready + "> " + start("1", "wait") + "\n> " + start("2", "wait") + "\n> " + start("3", "wait") + "\n" + `< {"id":"3","type":"error","payload":{"message":"this connection runs 2 operations already; complete one first","extensions":{"code":"LIMIT_EXCEEDED"}}}` + bye},
		{"nothing follows stop", ready + "> " + start("1", "last word") + "\n" + `> {"id":"1","type":"stop"}` + bye},
		{"an id is free again after stop", ready + "> " + start("1", "wait") + "\n" + `> {"id":"1","type":"stop"}` + "\n> " + start("1", "{one}") + "\n" + one + completed + bye},
		{"stop of an unknown id is ignored", ready + `> {"id":"9","type":"stop"}` + bye},
		{"start ends the operation that has the id", ready + "> " + start("1", "last word") + "\n> " + start("1", "{one}") + "\n" + one + completed + bye},
		{"connection_terminate closes", ready + "> " + start("1", "wait") + "\n" + `> {"type":"connection_terminate"}` + "\n< close 1000"},
		{"connection_terminate may come first", `> {"type":"connection_terminate","payload":null}` + "\n< close 1000"},
		{"a message is JSON", ready + "> {\n" + refused("the message is not a JSON object") + "< close 4400"},
		{"types of the current protocol are unknown", ready + "> " + subscribe("1", "{one}") + "\n" + refused(`a client of graphql-ws sends no messages of type \"subscribe\"`) + "< close 4400"},
		{"ping is the current protocol's", ready + `> {"type":"ping"}` + "\n" + refused(`a client of graphql-ws sends no messages of type \"ping\"`) + "< close 4400"},
		{"start has an id", ready + `> {"type":"start","payload":{"query":"{one}"}}` + "\n" + refused(`start needs an \"id\": a string that is not empty`) + "< close 4400"},
		{"start has a payload", ready + `> {"id":"1","type":"start"}` + "\n" + refused(`start needs a payload`) + "< close 4400"},
		{"a message has at most MessageLimit bytes", ready + "> " + tooLong + "\n" + refused("the message is longer than 1000 bytes") + "< close 1009"},
		{"a WebSocket ping is answered", "> ping\n< pong\n" + ready + "> bye\n< close 1000"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := serve(t, Options{MessageLimit: 1000, MaxSubscriptions: 2, InitFunc: greet})
			play(t, s.dialAs(t, LegacySubprotocol), c.exchange)
		})
	}
}

func TestServerChoosesTheCurrentProtocolOrTheLegacyOne(t *testing.T) {
	const legacyReady = "> " + initMessage + "\n< " + ackMessage + "\n< " + keepAlive + "\n> bye\n< close 1000"
	const currentReady = "> " + initMessage + "\n< " + ackMessage + "\n> bye\n< close 1000"
	s := serve(t, Options{})
	for _, c := range []struct {
		offered          []string
		chosen, exchange string
	}{
		{nil, "", legacyReady},
		{[]string{LegacySubprotocol}, LegacySubprotocol, legacyReady},
		{[]string{LegacySubprotocol, Subprotocol}, Subprotocol, currentReady},
		{[]string{"chat", LegacySubprotocol}, LegacySubprotocol, legacyReady},
		// A browser fails a connection whose server chooses none of the offered protocols, and gives no reason.
		{[]string{"Graphql-Transport-WS", "chat"}, "Graphql-Transport-WS", "< close 4406 Subprotocol not acceptable: offer graphql-transport-ws"},
	} {
		conn := s.dialAs(t, c.offered...)
		if got := conn.Subprotocol(); got != c.chosen {
			t.Errorf("of %q the server chose %q", c.offered, got)
		}
		play(t, conn, c.exchange)
	}
}

func TestClientOfTheLegacyProtocolGetsKeepAlives(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, _ *counters) {
		conn := pipeAs(t, transport, executor, LegacySubprotocol)
		send(t, conn, initMessage)
		if got := receive(t, conn); got != ackMessage {
			t.Fatal(got)
		}
		last, begun := time.Time{}, time.Now()
		for range 20 { // longer than PongWait: pings go on, too
			if got := receive(t, conn); got != keepAlive {
				t.Fatal(got)
			}
			if gap := time.Since(last); !last.IsZero() && (gap < 9*time.Second || gap > 10*time.Second) {
				t.Errorf("ka after %v", gap)
			}
			last = time.Now()
		}
		if took := time.Since(begun); took < 19*9*time.Second {
			t.Errorf("20 times ka in %v", took)
		}
		conn.Close()
	})
}

func TestClientOfTheCurrentProtocolGetsNoKeepAlives(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, _ *counters) {
		conn := open(t, transport, executor)
		send(t, conn, subscribe("1", "updates"))
		time.AfterFunc(time.Hour, func() { executor.Updates <- `"still here"` })
		if got := receive(t, conn); !strings.Contains(got, "still here") {
			t.Error(got)
		}
		conn.Close()
	})
}

func TestSourceServesClientsOfTheLegacyProtocol(t *testing.T) {
	s := serve(t, Options{})
	source := &steps{todo: []func() (*graphql.Response, error){
		give(`1`), give(`2`), fail(gqlerror.List{gqlerror.Errorf("lost"), gqlerror.Errorf("lost, too")}),
	}}
	s.source = func(context.Context) Source { return source }
	play(t, s.dialAs(t, LegacySubprotocol), strings.Join([]string{
		"> " + initMessage, "< " + ackMessage, "< " + keepAlive, "> " + start("1", "push"),
		`< {"id":"1","type":"data","payload":{"data":1}}`, `< {"id":"1","type":"data","payload":{"data":2}}`,
		`< {"id":"1","type":"error","payload":{"message":"lost"}}`, "> bye", "< close 1000",
	}, "\n"))
	transporttest.Drain(t, s.Transport)
	source.check(t)
}

// gqlgen's own client for tests offers no subprotocol.
func TestGqlgensClientIsServed(t *testing.T) {
	transport, executor := New(Options{}), newScript()
	t.Cleanup(func() { transporttest.Drain(t, transport) })
	c := client.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		transport.Do(w, r, graphql.GraphExecutor(executor))
	}))
	subscription := c.Websocket("{one}")
	defer subscription.Close()
	var got struct{ One int }
	if err := subscription.Next(&got); err != nil || got.One != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzChoose checks that a client learns why it is not served: a browser takes only a subprotocol that it has offered, and
// the header of the response is one line.
func FuzzChoose(f *testing.F) {
	for _, seed := range []string{"", Subprotocol, "graphql-ws, graphql-transport-ws", "chat", ",,chat", " , ", "a b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Sec-WebSocket-Protocol", header)
		name := choose(r)
		if offered := websocket.Subprotocols(r); name != "" && !slices.Contains(offered, name) {
			t.Fatalf("of %q it chose %q", offered, name)
		}
		if p, ok := subprotocolOf(name); p == nil || ok && name != "" && p.name != name {
			t.Fatalf("%q is %+v", name, p)
		}
	})
}
