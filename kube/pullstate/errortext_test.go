package pullstate

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

func TestWhyTheCopierCannotStart(t *testing.T) {
	for _, c := range []struct {
		reason, message string
		want            pull.FailureReason
	}{
		{"ContainerCreating", "", ""},
		{"PodInitializing", "", ""},
		{"ErrImagePull", `failed to pull and unpack image "10.0.0.1:5000/x:1": failed to resolve reference: 10.0.0.1:5000/x:1: not found`, pull.CopierImage},
		{"ImagePullBackOff", `Back-off pulling image "x": ErrImagePull: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`, pull.CopierImage},
		{"ErrImagePull", `no match for platform in manifest: not found`, pull.CopierImage},
		{"ErrImagePull", `SignatureValidationFailed: x`, pull.CopierImage},
		{"InvalidImageName", `couldn't parse image name`, pull.CopierImage},
		{"ErrImageNeverPull", `image is not present`, pull.CopierImage},
		{"ImageInspectError", `x`, pull.CopierImage},
		{"ErrImagePull", `write /var/lib/x: no space left on device`, pull.DiskFull},
		{"CreateContainerError", `no space left on device`, pull.DiskFull},
		{"RunContainerError", `runc create failed: cannot allocate memory`, pull.OutOfMemory},
		{"CreateContainerConfigError", `secret "x" not found`, pull.Invalid},
		{"CreateContainerError", `something new`, pull.Unknown},
		// What somebody has called an image or a project says nothing.
		{"ErrImagePull", `manifest for team/ephemeral-storage:forbidden not found: manifest unknown`, pull.CopierImage},
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
