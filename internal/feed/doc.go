// Package feed hands the states of pulls to all who subscribed to them, on any number of replicas.
//
// Updates carry state, not change: a subscriber that was slow is owed the latest state of each pull and nothing else. So
// the Hub keeps one log for all, in which each pull stands once, at the place of its latest change; a subscription is
// little more than its position in that log. A slow subscriber costs no memory and delays nobody.
//
// With Redis, a Stream fills the Hubs of all replicas from one shared log. A replica appends what it sees and takes it from
// the log like all others, so all have one order. What does not come back in time, because the log is slow or away, it tells
// its own subscribers by itself. States may so come twice: a Hub takes a state only if it supersedes the one that it knows,
// so nothing is told twice.
//
// # What always holds
//
// The code keeps these, whatever replicas and Redis do in whatever order. Each names the test that fails first without it.
//
//  1. What a replica tells by itself is appended to the log as well, before anything is concluded from the log. It is no
//     proof that something is gone. (TestAPullThatReplicasToldByThemselvesIsNotLostUnderANewLeader)
//
//  2. A reader that has seen more than a replica gets nothing from that replica until the replica has caught up: it has read
//     as much of the log, and its marks cover what another replica told the reader by itself. A replica that has not caught up
//     after holdLimit sends a snapshot, which may be older. How far a copy is, which each replica reads for itself then, may be
//     older without that. (TestAReaderThatKnowsMoreWaitsForTheReplica,
//     TestTheEndOfAPullIsTheLastThatAClientIsTold, TestAReplicaTellsNothingOlderThanAnotherToldByItselfInAnyOrder)
//
//  3. A log's marks are written with the last of what they cover, or after it. A replica that could not append something
//     writes no marks until it has read the log anew and appended what the log lacks.
//     (TestMarksAreNotWrittenAfterWhatTheyCoverCouldNotBe)
//
//  4. A pull that Kubernetes has is never told to be lost. A replica concludes that only for a pull that the log does not
//     hold although its marks cover it: the log has held it, and forgets none before it is retired.
//     (TestNoPullThatExistsIsToldLostInAnyOrder)
//
//  5. A reader is told the states of a pull in one order, each once, over all its connections, and nothing behind the last
//     one. Where it may be told again (a snapshot) is documented: its place is no longer known, or a replica has told it of
//     something by itself and it goes on at another one. (TestAReplicaThatWasStoppedTellsAClientNothingOlderInAnyOrder,
//     TestNothingComesAgainThatAReplicaToldByItself, TestNothingComesAgainAfterAReplicaWasStopped)
//
//  6. States with the same revision are the same. A revision names a place in the log, or one in what a single replica has
//     told; where the log says something else than a replica did, new readers get what the log says.
//     (TestWhatTheLogSaysHoldsForNewReaders)
//
//  7. A log that has lost its end is noticed with the next entry that a replica reads, however soon that comes: each entry
//     names the one before it. (TestALogThatHasLostItsEndIsNoticedHoweverSoonItGoesOn)
//     So is a log of before with which Redis comes back: the next replica that attaches removes it, and the leader makes a new
//     one, for places grow from one log to the next. (TestALogOfBeforeWithWhichRedisComesBackIsReplaced)
//
//  8. A pull that the log has forgotten does not come back into it. The log passes over a state whose Job its marks cover, of
//     a pull that it does not hold and that is no newer than those that it has forgotten. (TestALeaderThatWasStoppedBringsNoPullBackInAnyOrder)
//
// The tests whose names end in InAnyOrder drive real Hubs and Streams through all orders of events up to some depth.
package feed
