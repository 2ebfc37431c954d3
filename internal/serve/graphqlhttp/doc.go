// Package graphqlhttp serves GraphQL over HTTP for gqlgen: it is a [graphql.Transport] for queries and mutations by
// POST, queries by GET that a browser can cache, and subscriptions as server-sent events or multipart responses. A response that a middleware has
// as bytes (see [Reply]) costs little more than writing them. A request with the same text as one before (see [Repeat]) is
// not even parsed.
//
//	transport := graphqlhttp.New(graphqlhttp.Options{})
//	server.AddTransport(transport) // the last one: it answers every request
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
// GET is for operations that change nothing: queries and subscriptions. A GET of a page of another origin is refused unless
// Options.CheckOrigin allows it, as far as its browser says where it comes from. Before a POST, a browser asks this server,
// because JSON is the only Content-Type that is accepted. A request without a query names its document: by a documentId, or
// in extensions.persistedQuery.
//
// The body of a POST may be an array of up to ten such objects. The response is an array of their responses, in the same
// order. Its status is 200, whatever they are. The operations are executed one after the other. A subscription gets an error
// in its place.
//
// # Responses
//
// Accept chooses the media type. The first two differ in what the status means:
//
//	application/json                   200 for every well-formed request, also if its operation failed; the default
//	application/graphql-response+json  200 if there is data, which may be null; else 4xx or 5xx
//	text/event-stream                  a stream of events
//	multipart/mixed;subscriptionSpec=1.0
//	                                   a stream of parts, for subscriptions only
//
// A response has "data" unless the request failed before it was executed, and "errors" if there were any. With these
// statuses, but for 204, the response is an error in JSON, whatever the media type, and its extensions.code says which kind of error:
//
//	204  a browser's EventSource comes back after its operation has ended
//	400  the request is not well-formed: no JSON, no query, or parameters of a wrong type
//	403  a page of another origin sends a GET, or wants a stream
//	405  another method; or a mutation by GET
//	406  Accept allows none of the media types; or a subscription whose Accept names no stream
//	408  the body did not arrive in time
//	413  the body is longer than Options.BodyLimit, its JSON has too many values, or its array too many operations
//	415  the body is not JSON in UTF-8
//	429  the client's address has too many streams
//	503  there are too many streams, there is no memory for the request, or the server is stopping
//
// A browser may cache the response to a query by GET, but has to ask each time whether it is still valid. The response has
// an ETag. A request with that tag in If-None-Match gets 304 and no body while the response would be the same. Responses
// with errors are not cached. Responses of 1 KiB and more are compressed for clients that accept gzip.
//
// This is the draft of GraphQL over HTTP, with one deviation: since 2025 the draft wants
// application/graphql-response+json for clients that send no Accept header. Those are old clients and people with curl,
// who know application/json.
//
// # Streams
//
// A stream of events is what the client graphql-sse calls the distinct connections mode: each operation has its own response,
// which a browser's EventSource can read too. Queries and mutations can be sent as such streams, too.
//
//	:
//	retry: 3000
//
//	event: next
//	id: …
//	data: {"data": …}
//
//	event: complete
//	id: complete
//	data:
//
// There is one next event for each result, and complete after the last. If a request fails before it is executed, or a
// subscription ends with an error, the last next event has errors only. A stream that ends without complete was
// interrupted, and its client connects again. A comment is sent when nothing else was sent for a while.
//
// An EventSource comes back whenever a response has ended, with the last id in Last-Event-ID. A result has the id of
// [SetEventID], and [LastEventID] returns it when the browser comes back. With the id of complete it gets 204, after which it
// stays away. After errors that a pause may mend (UNAVAILABLE, TIMEOUT), complete has no id, and so the browser subscribes again.
//
// A stream of parts is Apollo's protocol for multipart subscriptions. The boundary, graphql, follows each part at once.
//
//	{"payload": {"data": …}}           a result, or errors that a pause does not mend
//	{"payload": null, "errors": […]}   other errors, and that the stream was interrupted: the client subscribes again
//	{}                                 nothing was sent for 5 s
//
// Each write has a deadline of its own. So a stream may last, unless its client stops reading. The http.Server's
// ReadTimeout and WriteTimeout do not apply to streams. A client ends a stream by closing the connection. The context of
// its operation ends then.
package graphqlhttp
