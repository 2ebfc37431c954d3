// Package sharedlog shares the states of pulls between replicas through one log in Redis.
//
// A Stream fills its replica's feed.Hub from the log. A replica appends what it sees and takes it from the log as all others
// do, so all have one order. What does not come back in time, because the log is slow or away, the replica publishes to its
// own Hub. A state may so come twice. A Hub takes a state only if it supersedes the one that it knows, so no subscriber gets
// it twice.
//
// # What always holds
//
// The code keeps these, whatever replicas and Redis do in whatever order. Each names the test that fails first without it;
// those of the Hub alone are in package feed. "By itself" means: published to the replica's own Hub, past the log. The
// log's resourceVersions are those up to which all changes have been appended.
//
//  1. What a replica has published by itself is appended to the log as well, before the replica concludes anything from the
//     log. It is no proof that a Job is gone. (TestAPullThatReplicasPublishedByThemselvesIsNotLostUnderANewLeader)
//
//  2. A reader that is ahead of a replica gets nothing from it until the replica has caught up: the replica has read as much
//     of the log, and its resourceVersions cover what another replica gave the reader by itself. A replica that has not
//     caught up after 20 s sends a snapshot, which may be older. A copy's progress may be older without that, for each
//     replica reads it for itself then. (TestAReaderThatIsAheadWaitsForTheReplica,
//     TestTheEndOfAPullIsTheLastStateThatAClientGets, TestAReplicaPublishesNothingOlderThanAnotherByItselfInAnyOrder)
//
//  3. A log's resourceVersions are written with the last change that they cover, or after it. A replica that could not append
//     something writes none until it has read the log anew and appended what the log lacks.
//     (TestResourceVersionsAreNotWrittenWhenAChangeThatTheyCoverCouldNotBe)
//
//  4. No client is told that a pull is lost while Kubernetes has its Job. A replica concludes that a pull is lost only when
//     the log does not hold it although the log's resourceVersions cover it: the log has held it, and forgets no pull before
//     it is retired. (TestNoPullThatExistsIsReportedLostInAnyOrder)
//
//  5. A reader gets the states of a pull in one order, each once, over all its connections, and nothing after the last one.
//     A state may come again only with a snapshot, as documented: the reader's position is no longer known, or a replica has
//     given it something by itself and it goes on at another one.
//     (TestAStoppedReplicaSendsAClientNothingOlderInAnyOrder, TestNothingThatAReplicaPublishedByItselfComesAgain,
//     TestNothingComesAgainAfterAReplicaWasStopped)
//
//  6. States with the same revision are the same. A revision names an offset in the log, or one in what a single replica has
//     published by itself. Where the log differs from what the replica published, new readers get what the log says.
//     (TestWhatTheLogSaysHoldsForNewReaders)
//
//  7. A replica notices with the next entry that it reads that a log has lost its end, however soon that entry comes: each
//     entry names the one before it. (TestALogThatLostItsEndIsNoticedHoweverSoonItGoesOn)
//     Redis may also come back with an earlier log. The next replica that has read further and attaches removes it, and the leader makes a new
//     one, because offsets grow from one log to the next. (TestAnEarlierLogWithWhichRedisComesBackIsReplaced)
//
//  8. A pull that the log has forgotten does not come back into it. The log rejects a state of a pull that it does not hold
//     if its resourceVersions cover the state and the pull is no newer than those that it has forgotten.
//     (TestAStoppedLeaderBringsNoPullBackInAnyOrder)
//
//  9. A reader gets the end of every pull, also when it ended while all replicas were restarted and Redis was away. When the
//     log brings a pull whose Job was gone before the leader's watch began, the leader watches again, from the log's
//     resourceVersions on. (TestAPullThatEndsWhileAllReplicasRestartEndsForClientsInAnyOrder)
//
// The tests whose names end in InAnyOrder drive real Hubs and Streams through all orders of events up to some depth.
package sharedlog
