package main

import (
	"testing"

	"pullwatch/feed"
	"pullwatch/kube"
)

// Replicas that miss a leader each watch the cluster for themselves. One that was killed must be followed well before.
func TestALeaderThatWasKilledIsFollowedBeforeItIsMissed(t *testing.T) {
	if longest := kube.LongestTakeover * 4 / 3; longest > feed.LongestAbsence {
		t.Errorf("a takeover may last %v, with a third for slow machines %v; a leader is missed after %v",
			kube.LongestTakeover, longest, feed.LongestAbsence)
	}
}
