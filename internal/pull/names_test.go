package pull

import "testing"

func TestAnImagesNameIsNotTakenForAnErrorsReason(t *testing.T) {
	for text, want := range map[string]string{
		`repository team/quota-service not found`:                      "repository … not found",
		`failed to pull image "certificate": not found`:                "failed to pull image …: not found",
		`failed to pull image \"tls\": not found`:                      "failed to pull image …: not found",
		`project 'forbidden' does not exist, it's gone and can't help`: "project … does not exist, it's gone and can't help",
		"GET https://quota.test/v2/unauthorized?x=disk full: 403":      "get … full: 403",
		`lookup certificate-manager.test on 10.0.0.1:53: i/o timeout`:  "lookup … on …: i/o timeout",
		`x509: certificate signed by unknown authority`:                "x509: certificate signed by unknown authority",
		`message: "no space left on device"`:                           `message: "no space left on device"`,
		`host:5000/a@sha256:00ff: Not Found`:                           "…: not found",
		`The node was low on resource: ephemeral-storage.`:             "the node was low on resource: ephemeral-storage.",
		`will exceed the configured upper limit of 5.0 GiB.`:           "will exceed the configured upper limit of … gib.",
		``: "",
	} {
		if got := WithoutNames(text); got != want {
			t.Errorf("%s\n\tis  %s\n\tnot %s", text, got, want)
		}
	}
}
