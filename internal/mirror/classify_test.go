package mirror

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

func TestAFailureHasTheReasonThatItsErrorMeans(t *testing.T) {
	from := side{role: "source", registry: "r.test", image: "r.test/a:1"}
	to := side{role: "destination", registry: "d.test", image: "d.test/a"}
	status := func(code int, body string) error {
		return transport.CheckError(&http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(body))}, 0)
	}
	said := func(code string) string { return fmt.Sprintf(`{"errors":[{"code":%q,"message":"words"}]}`, code) }
	request := func(err error) error { return &url.Error{Op: "Get", URL: "https://r.test/v2/?token=secret", Err: err} }
	full := `{"errors":[{"code":"UNKNOWN","detail":{"DriverName":"filesystem","Enclosed":{"Err":28,"Op":"mkdir"}}}]}`
	wrongHost := x509.HostnameError{Certificate: &x509.Certificate{}}
	noHost := &net.OpError{Op: "dial", Err: &net.DNSError{Name: "r.test"}}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for name, test := range map[string]struct {
		err       error
		reason    pull.FailureReason
		permanent bool
	}{
		"404":                     {from.blame(status(404, "")), pull.NotFound, true},
		"name unknown":            {from.blame(status(400, said("NAME_UNKNOWN"))), pull.NotFound, true},
		"manifest unknown":        {from.blame(status(404, said("MANIFEST_UNKNOWN"))), pull.NotFound, true},
		"no such project":         {to.blame(status(404, said("NAME_UNKNOWN"))), pull.NotFound, true},
		"401":                     {from.blame(status(401, "")), pull.Unauthorized, true},
		"403":                     {to.blame(status(403, "")), pull.Unauthorized, true},
		"denied":                  {to.blame(status(400, said("DENIED"))), pull.Unauthorized, true},
		"unauthorized":            {from.blame(status(400, said("UNAUTHORIZED"))), pull.Unauthorized, true},
		"429":                     {from.blame(status(429, "")), pull.RateLimited, false},
		"429 with the word quota": {from.blame(status(429, "quota exceeded")), pull.RateLimited, false},
		"too many requests":       {from.blame(status(403, said("TOOMANYREQUESTS"))), pull.RateLimited, false},
		"quota 412":               {to.blame(status(412, "storage quota exceeded")), pull.DiskFull, false},
		"quota 403":               {to.blame(status(403, "exceed the configured upper limit")), pull.DiskFull, false},
		"507":                     {to.blame(status(507, "")), pull.DiskFull, false},
		"disk full, in words":     {to.blame(status(500, "write /var: no space left on device")), pull.DiskFull, false},
		"disk full, as a number":  {to.blame(status(500, full)), pull.DiskFull, false},
		"lost upload":             {to.blame(status(404, said("BLOB_UPLOAD_UNKNOWN"))), pull.Unknown, false},
		"lost blob":               {to.blame(status(400, said("MANIFEST_BLOB_UNKNOWN"))), pull.Unknown, false},
		"spoilt on its way":       {to.blame(status(400, said("DIGEST_INVALID"))), pull.Invalid, true},
		"manifest refused":        {to.blame(status(400, said("MANIFEST_INVALID"))), pull.Invalid, true},
		"unsupported":             {to.blame(status(405, said("UNSUPPORTED"))), pull.Invalid, true},
		"immutable tag":           {to.blame(status(412, "tag is immutable")), pull.Invalid, true},
		"408":                     {from.blame(status(408, "")), pull.Timeout, false},
		"499":                     {from.blame(status(499, "")), pull.Network, false},
		"500":                     {from.blame(status(500, "")), pull.Unknown, false},
		"502":                     {from.blame(status(502, "")), pull.Network, false},
		"503":                     {from.blame(status(503, said("UNAVAILABLE"))), pull.Network, false},
		"unknown authority":       {from.blame(request(x509.UnknownAuthorityError{})), pull.TLS, true},
		"expired":                 {from.blame(request(x509.CertificateInvalidError{})), pull.TLS, true},
		"wrong host":              {from.blame(request(wrongHost)), pull.TLS, true},
		"plain HTTP spoken":       {from.blame(request(http.ErrSchemeMismatch)), pull.TLS, true},
		"plain HTTP refused":      {from.blame(request(&plainHTTPError{"x.test"})), pull.TLS, true},
		"no such host":            {from.blame(request(noHost)), pull.Network, false},
		"refused":                 {from.blame(request(refused)), pull.Network, false},
		"reset":                   {to.blame(request(syscall.ECONNRESET)), pull.Network, false},
		"closed":                  {to.blame(request(io.EOF)), pull.Network, false},
		"broken off":              {from.blame(&readError{io.ErrUnexpectedEOF}), pull.Network, false},
		"stalled":                 {from.blame(request(&stallError{stallTimeout})), pull.Timeout, false},
		"out of time":             {context.DeadlineExceeded, pull.Timeout, false},
		"one request out of time": {from.blame(request(context.DeadlineExceeded)), pull.Timeout, false},
		// What somebody has called something says nothing.
		"quota in a name":             {from.blame(status(404, `{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":{"name":"team/quota-exceeded"}}]}`)), pull.NotFound, true},
		"quota in a name, denied":     {to.blame(status(403, `{"errors":[{"code":"DENIED","message":"access to team/quota-exceeded is denied"}]}`)), pull.Unauthorized, true},
		"quota in a name, in text":    {to.blame(status(403, `no access to project quota-exceeded`)), pull.Unauthorized, true},
		"quota in a project's name":   {to.blame(status(404, said("NAME_UNKNOWN"))), pull.NotFound, true},
		"a number in a name":          {to.blame(status(403, `{"errors":[{"code":"DENIED","message":"no","detail":{"name":"err:28 x"}}]}`)), pull.Unauthorized, true},
		"a source has no quota":       {from.blame(status(403, "quota exceeded")), pull.Unauthorized, true},
		"a full source":               {from.blame(status(500, "write /cache/x: no space left on device")), pull.DiskFull, false},
		"quota, as GitLab has it":     {to.blame(status(403, `{"errors":[{"code":"DENIED","message":"storage quota has been exceeded"}]}`)), pull.DiskFull, false},
		"quota, as a code":            {to.blame(status(403, `{"errors":[{"code":"QUOTA_EXCEEDED","message":"no"}]}`)), pull.DiskFull, false},
		"stopped":                     {context.Canceled, pull.Unknown, false},
		"no space":                    {to.blame(syscall.ENOSPC), pull.DiskFull, false},
		"empty index":                 {from.blame(errNoPlatform), pull.NoPlatform, true},
		"too large":                   {from.blame(&readError{errTooLarge}), pull.Invalid, true},
		"makes no sense":              {from.blame(errors.New("digest does not match")), pull.Invalid, true},
		"nobody's fault that we know": {errors.New("what?"), pull.Unknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := classify(fmt.Errorf("wrapped: %w", test.err))
			if got.reason != test.reason || got.permanent != test.permanent {
				t.Errorf("got %s, permanent %t; want %s, %t (%s)",
					got.reason, got.permanent, test.reason, test.permanent, got.message)
			}
			if blamed, ok := errors.AsType[*sideError](test.err); ok && got.side != blamed.side.role {
				t.Errorf("blamed on %q, want %q", got.side, blamed.side.role)
			}
			if strings.Contains(got.message, "secret") || strings.Contains(got.message, "\n") ||
				len(got.message) > pull.MaxFailureMessage {
				t.Errorf("message %q", got.message)
			}
			if !strings.HasPrefix(got.message, strings.ToUpper(got.message[:1])) {
				t.Errorf("message %q is not a sentence", got.message)
			}
		})
	}
}

// Whatever a registry says, the outcome can be read from what Kubernetes keeps of it.
func FuzzOutcomeFits(f *testing.F) {
	f.Add("plain", 200)
	f.Add(strings.Repeat("<html>\n\"\\", 2000), 500)
	f.Add(strings.Repeat("\xff\x00\u2028é", 2000), 404)
	f.Fuzz(func(t *testing.T, body string, status int) {
		s := side{role: "source", registry: "r.test", image: "r.test/a:1"}
		refusal := transport.CheckError(&http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))})
		failed := classify(s.blame(refusal))
		encoded, err := encodeOutcome(pull.Outcome{Reason: failed.reason, Message: failed.message})
		if err != nil {
			t.Fatal(err)
		}
		var outcome pull.Outcome
		if err := json.Unmarshal(encoded, &outcome); err != nil || len(encoded) > maxOutcome {
			t.Errorf("%d bytes: %v", len(encoded), err)
		}
		if !strings.HasPrefix(failed.message, outcome.Message) || outcome.Reason != failed.reason {
			t.Errorf("message %q became %q", failed.message, outcome.Message)
		}
	})
}
