// Package graphqlws serves GraphQL over WebSockets for gqlgen: it is a [graphql.Transport] for the subprotocol
// graphql-transport-ws and the older graphql-ws, lean enough for tens of thousands of subscribers in one process.
//
//	sockets := graphqlws.New(graphqlws.Options{})
//	server.AddTransport(sockets)
//	...
//	sockets.Drain(ctx, 10*time.Second) // when the process stops: http.Server.Shutdown knows nothing of WebSockets
//
// # The protocol
//
// The client offers graphql-transport-ws in Sec-WebSocket-Protocol. After that each WebSocket text message, either way,
// is one JSON object with a "type":
//
//	client                              server
//	connection_init  payload? {…}   →
//	                                ←   connection_ack   payload? {…}
//	subscribe   id  payload {query, operationName?, variables?, extensions?}   →
//	                                ←   next      id  payload {data, errors?, extensions?}   (any number)
//	                                ←   complete  id                                         (the last, or:)
//	                                ←   error     id  payload [{message, …}, …]              (the last)
//	complete    id                  →                                      (the client wants no more)
//	ping        payload? {…}        ↔   pong      payload? {…}             (either may ask, at any time)
//
// The rules:
//
//   - connection_init comes first, once. Its payload replaces headers, which a browser cannot set on a WebSocket. Only ping
//     and pong may come before it. Nothing runs before connection_ack.
//   - subscribe starts an operation: a query, a mutation or a subscription. Instead of the query it may have a documentId, or
//     an extension that names a persisted query. The client chooses its id, a string that is
//     not empty and that none of the connection's running operations has. Operations run side by side; the order of
//     messages is kept within an id only. An id is free again when its operation has ended.
//   - An operation ends once, in one of three ways. The server sends complete when it has sent all results. The server
//     sends error, and no complete, when the operation failed before or while it ran. Or the client sends complete: the
//     server does not answer that, and sends nothing more for that id. The two completes may cross, so either side ignores
//     one for an id that it does not know.
//   - Errors of fields are sent in next, beside the data. A request that cannot run (it does not parse, does not
//     validate, is refused) gets error.
//   - A ping is answered with a pong at once. A pong without a ping is ignored. These messages are not the ping and pong
//     frames of RFC 6455, which browsers answer by themselves. This package sends the frames.
//
// An error that is not about one operation closes the WebSocket. The close code says which:
//
//	1000  the client is done
//	1007  a text message was not UTF-8
//	1009  a message was longer than the server takes
//	1012  the server restarts; connect again
//	1013  there was no memory for a message; connect again later
//	4400  a message was not JSON, of no known type or without what its type needs; or it was binary
//	4401  an operation came before connection_ack
//	4403  connection_init was refused
//	4406  the client offered other subprotocols only
//	4408  connection_init did not come in time
//	4409  subscribe had the id of a running operation
//	4429  connection_init came twice
//
// The codes matter: the client graphql-ws connects again after some (1012, 1013, 4403, 4408), a little later each time, and
// gives up after others (4400, 4401, 4406, 4409, 4429).
//
// # The legacy protocol
//
// A client of the library subscriptions-transport-ws offers graphql-ws, or no subprotocol. A client that offers both
// protocols gets graphql-transport-ws. Sources, limits, time limits and close codes are the same for both. These messages
// differ:
//
//	client                              server
//	                                ←   ka                   (right after connection_ack, then every Options.KeepAlive)
//	                                ←   connection_error     payload {message}   (before a close frame)
//	start       id  payload         →                        (subscribe)
//	                                ←   data    id  payload  (next)
//	                                ←   error   id  payload {message, …}   (the first error only)
//	stop        id                  →                        (complete)
//	connection_terminate            →                        (close the connection)
//
// There is no ping and no pong. A start with the id of a running operation ends that operation. connection_error comes if
// the client has sent what closes the connection.
//
// # What a connection costs
//
// The HTTP handler returns once it has accepted a WebSocket, so that the HTTP server's buffers are freed. A connection
// then has one goroutine that reads and one for each running operation. A subscription with a [Source] has none while it
// waits: all such subscriptions take turns in a few goroutines, which exist only while one of them has something to send.
// A connection has one timer for its pings and all its time limits. So an idle connection with such a subscription takes
// about 7 KB of heap and stack.
//
// The goroutine that has something to send writes it, as much as the kernel takes at once. Only if the kernel does not take
// all, or with TLS, another goroutine writes the rest. It ends when nothing is left. Meanwhile messages wait in a bounded
// queue.
//
// A client that does not read fills the queue. Then its own operations wait, nobody else's, and after
// [Options.WriteTimeout] it loses the connection. A Source is not asked for results in that time, so that a client that
// catches up gets the newest result instead of all. A client that vanishes is noticed after [Options.PongWait].
package graphqlws
