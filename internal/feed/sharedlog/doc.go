// Package sharedlog shares the states of pulls between replicas through one log in Redis.
//
// In this package "the log" is always that one. Its other words, in the order in which a state passes through:
//
//   - A replica publishes a state to its Stream. The state is pending until it has been appended to the log, and unread until
//     the log has returned it. All replicas, this one too, give their feed.Hub what the log returns. So all have one order.
//   - An entry has an offset and an ID, which is the offset and a random number. The tail is the last entry. A heartbeat is an
//     entry by which the leader says that it watches the cluster.
//   - If the log does not return something in time, the replica publishes it by itself: to its own Hub, past the log. This is
//     the bypass. A state may so reach the Hub twice. The Hub takes only a state that supersedes the one it knows, so no
//     subscriber gets it twice.
//   - A session attaches the Stream to the log: it loads what the log holds, appends what the log lacks, and reads the entries
//     that follow. It ends when something is wrong with the log. The next session begins after a pause.
//   - The Stream is live while a session reads the log and a leader is heard through it. Otherwise the replica has to watch the
//     cluster for itself.
//   - Redis may lose the end of the log, or all of it, at any time. The replica that notices removes the rest, and the leader
//     makes a new log of what its own Hub holds.
//
// # What always holds
//
// The code keeps these, whatever replicas and Redis do in whatever order. Each names the test that fails first without it;
// those of the Hub alone are in package feed. The log's resourceVersions are those up to which it has got all changes.
//
//  1. What a replica has published by itself is appended to the log as well, before the replica concludes anything from the
//     log. It is no proof that a Job is gone. (TestAPullThatReplicasPublishedByThemselvesIsNotLostUnderANewLeader)
//
//  2. A reader that is ahead of a replica gets nothing from it until the replica has caught up: it has read as much of the
//     log, and its resourceVersions cover what another replica gave the reader by itself. A replica that has not caught up
//     after 20 s sends a snapshot, which may be older. A copy's progress may be older even without that, because each replica
//     then reads it for itself. (TestAReaderThatIsAheadWaitsForTheReplica,
//     TestTheEndOfAPullIsTheLastStateThatAClientGets, TestAReplicaByItselfSendsAClientNothingOlderInAnyOrder)
//
//  3. A log's resourceVersions are written with the last change that they cover, or after it. A replica that could not append
//     something writes none until it has read the log anew and appended what the log lacks.
//     (TestResourceVersionsAreNotWrittenWhenAChangeThatTheyCoverCouldNotBe)
//
//  4. No client is told that a pull is lost while Kubernetes has its Job. A replica concludes that a pull is lost only when
//     the log does not hold it although the log's resourceVersions cover it. Then the log has held it, and forgets no pull
//     before it is retired. (TestNoPullThatExistsIsReportedLostInAnyOrder)
//
//  5. A reader gets the states of a pull in one order, each once, over all its connections, and nothing after the final one.
//     A state may come again only as documented: when the reader's position is no longer known, when a replica gave it
//     something by itself and it goes on at another one, or when the replica had done so before it had read the log.
//     (TestAStoppedReplicaSendsAClientNothingOlderInAnyOrder, TestNothingThatAReplicaPublishedByItselfComesAgain,
//     TestNothingComesAgainAfterAReplicaWasStopped)
//
//  6. States with the same pull.State.RevisionID are the same. It names an offset in the log, or a place in what one replica
//     has published by itself. Where the log differs from what the replica published, new readers get what the log says.
//     (TestNewReadersGetWhatTheSharedLogSays)
//
//  7. A replica notices with the next entry that it reads that a log has lost its end, however soon that entry comes: each
//     entry names the one before it. (TestALogThatLostItsEndIsNoticedHoweverSoonItGoesOn)
//     Redis may also come back with an earlier log. The next replica that attaches and has read further removes it, and the
//     leader makes a new one, because offsets grow from one log to the next.
//     (TestAnEarlierLogWithWhichRedisComesBackIsReplaced)
//
//  8. A pull that the log has forgotten does not come back into it. The log rejects a state of a pull that it does not hold
//     if its resourceVersions cover the state and the pull is no newer than those that it has forgotten.
//     (TestAStoppedLeaderBringsNoPullBackInAnyOrder)
//
//  9. A reader gets the end of every pull, also when it ended while all replicas were restarted and Redis was away. If the
//     leader's watch began after the log's resourceVersions, nobody that is left has seen what happened between. So that watch
//     proves nothing, and the leader watches again, from the log's resourceVersions on.
//     (TestAPullThatEndsWhileAllReplicasRestartEndsForClientsInAnyOrder,
//     TestAPullThatOneReplicaShowedByItselfEndsForItsClientsInAnyOrder)
//
// The tests whose names end in InAnyOrder drive real Hubs and Streams through all orders of events up to some depth, and
// TestTheInvariantsHoldInRandomOrders through longer ones that chance chooses.
package sharedlog
