package pullstate

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

func TestWhyTheCopierCannotStartIsClassifiedByItsText(t *testing.T) {
	for _, c := range []struct {
		reason, message string
		want            pull.FailureReason
	}{
		{"ContainerCreating", "", ""},
		{"PodInitializing", "", ""},
		{"ErrImagePull", `failed to pull and unpack image "10.0.0.1:5000/x:1": failed to resolve reference: 10.0.0.1:5000/x:1: not found`, pull.NotFound},
		{"ImagePullBackOff", `Back-off pulling image "x": ErrImagePull: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`, pull.Unauthorized},
		{"ImagePullBackOff", `toomanyrequests: You have reached your unauthenticated pull rate limit`, pull.RateLimited},
		{"ErrImagePull", `no match for platform in manifest: not found`, pull.NoPlatform},
		{"ErrImagePull", `tls: failed to verify certificate: x509: certificate signed by unknown authority`, pull.TLS},
		{"ErrImagePull", `http: server gave HTTP response to HTTPS client`, pull.TLS},
		{"ErrImagePull", `dial tcp 10.0.0.1:5000: connect: connection refused`, pull.Network},
		{"ErrImagePull", `RegistryUnavailable: x`, pull.Network},
		{"ErrImagePull", `write /var/lib/x: no space left on device`, pull.DiskFull},
		{"ErrImagePull", `SignatureValidationFailed: x`, pull.Invalid},
		{"ErrImagePull", `something new`, pull.Unknown},
		// What somebody has called an image, a project or a host says nothing.
		{"ErrImagePull", `failed to resolve reference "harbor.test/certificate-manager:1": harbor.test/certificate-manager:1: not found`, pull.NotFound},
		{"ErrImagePull", `failed to pull image "certificate": not found`, pull.NotFound},
		{"ErrImagePull", `Head "https://r.test/v2/forbidden/manifests/unauthorized": dial tcp 10.0.0.1:443: connect: connection refused`, pull.Network},
		{"ErrImagePull", `dial tcp: lookup certificate on 10.0.0.1:53: no such host`, pull.Network},
		{"ErrImagePull", `pulling from host rate-limit.test failed with status code [manifests 1]: 500 Internal Server Error`, pull.Network},
		{"ErrImagePull", `manifest for team/ephemeral-storage:forbidden not found: manifest unknown`, pull.NotFound},
		{"ErrImagePull", `repository unauthorized not found: name unknown`, pull.NotFound},
		{"ErrImagePull", `failed to authorize: unexpected status from GET request to https://auth.test/token?scope=repository%3Atls: 401 Unauthorized`, pull.Unauthorized},
		{"InvalidImageName", `couldn't parse image name`, pull.Invalid},
		{"ErrImageNeverPull", `image is not present`, pull.NotFound},
		{"ImageInspectError", `x`, pull.Unknown},
		{"CreateContainerConfigError", `secret "x" not found`, pull.Invalid},
		{"CreateContainerError", `no space left on device`, pull.DiskFull},
	} {
		got := classifyWaiting(&corev1.ContainerStateWaiting{Reason: c.reason, Message: c.message})
		if got.Reason != c.want {
			t.Errorf("%s %q: %s, want %s", c.reason, c.message, got.Reason, c.want)
		}
		if c.want != "" && !strings.Contains(got.Message, c.message) {
			t.Errorf("%s %q: message %q loses what was said", c.reason, c.message, got.Message)
		}
	}
}
