// Package graphqlhttp serves GraphQL over HTTP for gqlgen: it is a [graphql.Transport] for queries and mutations by
// POST, queries by GET that a browser can keep, and subscriptions as server-sent events. What a middleware has as bytes
// already (see [Reply]) costs little more than writing them, and a request that is the same again (see [Repeat]) is not
// even parsed.
//
//	transport := graphqlhttp.New(graphqlhttp.Options{})
//	server.AddTransport(transport) // the last one: it answers whatever comes
//	...
//	transport.Drain(ctx, 10*time.Second) // when the process stops, before http.Server.Shutdown, which waits for streams
//
// # Requests
//
// A request has a query, and may have an operationName, variables and extensions:
//
//	POST  Content-Type: application/json   {"query": "…", "operationName": "…", "variables": {…}, "extensions": {…}}
//	GET   ?query=…&operationName=…&variables={…}&extensions={…}
//
// GET is for what changes nothing: queries and subscriptions. A page of another origin can send that much without being
// asked, and cannot read the answer; for POST a browser asks first, because JSON is the only Content-Type that is
// taken. A request without a query names a persisted one in extensions.persistedQuery.
//
// # Responses
//
// Accept chooses the form. The first two differ in what the status means:
//
//	application/json                   200 for every request that is well-formed, whatever became of it; the default
//	application/graphql-response+json  200 if there is data, be it null; else 4xx or 5xx
//	text/event-stream                  a stream
//
// A response has "data" unless the request failed before it was executed, and "errors" if there were any. These
// statuses come in either form, with an error in JSON whose extensions.code says what kind it is:
//
//	400  the request is not well-formed: no JSON, no query, parameters of a wrong type, several operations in an array
//	403  a page of another origin wants a stream
//	405  another method; or a mutation by GET
//	406  nothing that is accepted can be sent; or a subscription from a client that does not name text/event-stream
//	408  the body did not arrive in time
//	413  the body is longer than Options.BodyLimit, or its JSON has too many values
//	415  the body is not JSON in UTF-8
//	429  the client's address has too many streams
//	503  there are too many streams, there is no memory for the request, or the server is stopping
//
// The answer to a query by GET may be kept but not used without asking: it has an ETag, and a request with that tag in
// If-None-Match gets 304 and no body for as long as the answer would be the same. Answers with errors are not kept.
// From 1 KiB on, responses are compressed for those who accept gzip.
//
// This is the draft of GraphQL over HTTP, with one deviation: since 2025 the draft wants
// application/graphql-response+json for those who send no Accept header. They are old clients and people with curl, who
// know application/json.
//
// # Streams
//
// A stream is what the client graphql-sse calls the distinct connections mode: each operation has its own response,
// which a browser's EventSource can read too. Any kind of operation can be asked for in this form.
//
//	event: next
//	data: {"data": …}
//
//	event: complete
//	data:
//
// There is one next event for each result, and complete after the last. A request that fails before it is executed, or
// a subscription that ends with an error, has a last next event with errors only. A stream that ends without complete
// has been interrupted, and its client connects again. Comments come when there is nothing else to send for a while.
//
// Each write has a deadline of its own, so a stream may last, but one whose reader stops reading does not. The
// http.Server's ReadTimeout and WriteTimeout do not apply to streams. A client ends a stream by closing the connection.
// Its operation's context ends then.
package graphqlhttp
