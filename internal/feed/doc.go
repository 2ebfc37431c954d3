// Package feed hands the states of pulls to all who subscribed to them on this replica. With several replicas, the package
// sharedlog fills the Hub of each from one log.
//
// An update carries a pull's state, not what changed. So a slow subscriber is owed the latest state of each pull and nothing
// else. The Hub keeps one log for all subscribers. A pull counts in it once, at the place of its latest change. A
// Subscription is little more than a position in that log: a slow one costs no memory and delays nobody.
package feed
