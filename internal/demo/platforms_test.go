package demo

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
)

func TestAPullOfSomePlatformsCopiesThoseOrFails(t *testing.T) {
	playIn(t, Options{}, nil, func(t *testing.T, ctx context.Context, c *Cluster) {
		const image = "ghcr.io/acme/app:1.0"
		for name, platforms := range map[string]string{"some": "linux/amd64", "lacking": "linux/amd64,linux/s390x"} {
			job := newPullJob(name, image)
			job.Annotations = map[string]string{"pullwatch/platforms": platforms}
			if _, err := c.client.BatchV1().Jobs(pullNamespace).Create(ctx, job, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		createPull(t, ctx, c, "whole", image)
		waitForAll(t, ctx, c, 3, 60*time.Second)
		whole, _, _ := lastOutcome(t, ctx, c, "whole")
		some, _, _ := lastOutcome(t, ctx, c, "some")
		if some.Digest == "" || some.Digest == whole.Digest || some.Image != whole.Digest {
			t.Errorf("%+v of %+v", some, whole)
		}
		if lacking, exit, _ := lastOutcome(t, ctx, c, "lacking"); lacking.Reason != pull.NoPlatform || exit != pull.ExitPermanent || !strings.Contains(lacking.Message, "lacks linux/s390x") {
			t.Errorf("exit code %d, %+v", exit, lacking)
		}
	})
}
