package kube

import (
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/feed"
)

// A leader that was stopped must not give back the Lease of the one that followed it.
func TestAnotherReplicasLeaseIsNotGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		r.run(t, NewLeader(r.leaderOptions("a", 1, nil)))
		synctest.Wait()
		if !r.role.Leads() {
			t.Fatal("a does not lead")
		}
		// While a is stopped, its Lease runs out and b takes it.
		leases := r.client.CoordinationV1().Leases(testNamespace)
		lease, err := leases.Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		lease.Spec.HolderIdentity = new("b")
		if _, err := leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		r.stop() // or lead returns with errTermOver: both end in the elector's release
		lease, err = leases.Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != "b" {
			t.Errorf("b's Lease was given back: %+v, %v", lease.Spec.HolderIdentity, err)
		}
	})
}
