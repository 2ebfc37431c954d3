package graphqlhttp

import (
	"time"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/serve/transport"
	"pullwatch/internal/usererr"
)

// multipartFormat is the format of Apollo's multipart subscriptions, subscriptionSpec=1.0. The boundary is sent right behind each
// part, because only then clients know that the part has ended.
type multipartFormat struct{}

const (
	partBegin = "\r\nContent-Type: application/json\r\n\r\n"
	partEnd   = "\r\n--graphql"
)

func (multipartFormat) contentType() string {
	return typeMultipart + ";boundary=graphql;subscriptionSpec=1.0"
}

func (multipartFormat) beginning() []byte { return []byte(partEnd) }

func (multipartFormat) appendResult(b []byte, r *graphql.Response, _ string) []byte {
	b = appendResponse(append(b, partBegin+`{"payload":`...), r)
	return append(b, "}"+partEnd...)
}

// appendFailure appends an error of the transport if the client may come back: Apollo's RetryLink subscribes again after that,
// but not after errors in a result.
func (f multipartFormat) appendFailure(b []byte, r *graphql.Response, again bool) []byte {
	if !again {
		return f.appendResult(b, r, "")
	}
	b = append(b, partBegin+`{"payload":null,"errors":`...)
	b = append(b, transport.EncodeErrors(r.Errors)...)
	return append(b, "}"+partEnd...)
}

func (multipartFormat) ending(bool) []byte { return []byte("--\r\n") }

func (f multipartFormat) interruption() []byte {
	interrupted := refusal{code: usererr.Unavailable, message: "the stream was interrupted, as when the server stops; subscribe again"}
	return append(f.appendFailure(nil, interrupted.response(), true), f.ending(true)...)
}

func (multipartFormat) signOfLife() []byte { return []byte(partBegin + "{}" + partEnd) }

// Clients may give up a connection that is silent for longer.
func (multipartFormat) longestSilence() time.Duration { return 5 * time.Second }
