// Package feed hands the states of pulls to all who subscribed to them on this replica.
//
// An update carries a pull's state, not what changed. So a slow subscriber needs the latest state of each pull and nothing
// else. These are the package's words, in the order in which a state passes through:
//
//   - The Hub takes a state that is published if it supersedes the one that it knows of the same pull.
//   - A slot is the place of a state in the order of change; seq numbers the slots. A pull counts in the slot of its latest
//     state. Its earlier slots are superseded, and are removed in time.
//   - A Subscription is little more than the seq up to which its reader has everything. A slow one costs no memory and delays
//     nobody. A state is conflated when a newer one of the same pull comes before it was delivered.
//   - A Filter leaves out states, by phase and of pulls that have ended. A pull's next state after it has left the phases is
//     sent, so that the reader's view of them is complete.
//   - A pull is retired when its Job is gone, and forgotten once too many are retired.
//   - With several replicas, package sharedlog fills the Hub of each from one log in Redis: the shared log. A state's offset is
//     its place there. A state that a replica publishes by itself, past that log, is unlogged until the log holds it.
//   - A pull.Position says how far a reader has come, in the shared log and on one replica. A reader that comes from another
//     replica may be ahead of this one. Then it waits until this replica has caught up, or gets a snapshot: the present state
//     of each pull.
//
// What always holds between replicas is listed in package sharedlog.
package feed
