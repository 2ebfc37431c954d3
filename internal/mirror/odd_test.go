package mirror

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// status answers as the registry would, but with another status.
func status(registry *testRegistry, code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		right := httptest.NewRecorder()
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		registry.handler.ServeHTTP(right, r)
		for name, values := range right.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(code)
		_, _ = w.Write(right.Body.Bytes())
	}
}

// Images are copied from and to registries that answer with another status or other headers than the specification has.
func TestAnswersNotQuiteOfTheSpecificationAreAccepted(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(*lab)
	}{
		{"an upload begins with 200", func(l *lab) { l.destination.fault = times(forEver, method("POST", ""), status(l.destination, 200)) }},
		{"an upload begins with 201", func(l *lab) { l.destination.fault = times(forEver, method("POST", ""), status(l.destination, 201)) }},
		{"bytes are taken with 200", func(l *lab) { l.destination.fault = times(forEver, method("PATCH", ""), status(l.destination, 200)) }},
		{"an upload ends with 200", func(l *lab) {
			l.destination.fault = times(forEver, method("PUT", "/uploads/"), status(l.destination, 200))
		}},
		{"an upload ends with 202", func(l *lab) {
			l.destination.fault = times(forEver, method("PUT", "/uploads/"), status(l.destination, 202))
		}},
		{"a manifest is taken with 200", func(l *lab) {
			l.destination.fault = times(forEver, method("PUT", "/manifests/"), status(l.destination, 200))
		}},
		{"wrong digest header", func(l *lab) {
			l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
				return times(forEver, method("GET", "/manifests/"), func(w http.ResponseWriter, r *http.Request) {
					right := httptest.NewRecorder()
					l.source.handler.ServeHTTP(right, r)
					w.Header().Set("Content-Type", right.Header().Get("Content-Type"))
					w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
					_, _ = w.Write(right.Body.Bytes())
				})(w, r)
			}
		}},
		{"blobs are said to be empty", func(l *lab) {
			l.destination.fault = times(forEver, method("HEAD", "/blobs/"), answer(200, ""))
		}},
		{"whole blob as 206", func(l *lab) {
			l.source.fault = times(forEver, isBlobGet, func(w http.ResponseWriter, r *http.Request) {
				right := httptest.NewRecorder()
				l.source.handler.ServeHTTP(right, r)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", right.Body.Len()-1, right.Body.Len()))
				w.WriteHeader(206)
				_, _ = w.Write(right.Body.Bytes())
			})
		}},
		{"manifest ends early once", func(l *lab) {
			l.source.fault = times(1, method("GET", "/manifests/"), func(w http.ResponseWriter, r *http.Request) {
				right := httptest.NewRecorder()
				l.source.handler.ServeHTTP(right, r)
				_, _ = w.Write(right.Body.Next(100))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			})
		}},
		{"upload is redirected", func(l *lab) {
			l.destination.fault = times(2, method("PATCH", ""), func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 300_000, 2))
				test.fault(l)
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
			})
		})
	}
}

// Asked for the rest of a blob, a source may answer with another range or refuse. Then the blob is read from its beginning.
func TestABlobArrivesThoughTheSourceAnswersWithAnotherRange(t *testing.T) {
	for name, wrong := range map[string]func(w http.ResponseWriter, whole []byte, from int){
		"from the beginning": func(w http.ResponseWriter, whole []byte, _ int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(whole)-1, len(whole)))
			w.WriteHeader(206)
			_, _ = w.Write(whole)
		},
		"from further on": func(w http.ResponseWriter, whole []byte, from int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from+10, len(whole)-1, len(whole)))
			w.WriteHeader(206)
			_, _ = w.Write(whole[from+10:])
		},
		"without saying which": func(w http.ResponseWriter, whole []byte, from int) {
			w.WriteHeader(206)
			_, _ = w.Write(whole[from:])
		},
		"only a part": func(w http.ResponseWriter, whole []byte, from int) {
			to := min(from+50_000, len(whole))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(whole)))
			w.WriteHeader(206)
			_, _ = w.Write(whole[from:to])
		},
		"416": func(w http.ResponseWriter, _ []byte, _ int) { w.WriteHeader(416) },
		"400": func(w http.ResponseWriter, _ []byte, _ int) { w.WriteHeader(400) },
		"501": func(w http.ResponseWriter, _ []byte, _ int) { w.WriteHeader(501) },
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 300_000, 1))
				broke := map[string]bool{}
				l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if !isBlobGet(r) {
						return false
					}
					if !broke[r.URL.Path] {
						broke[r.URL.Path] = true
						breakOff(l.source)(w, r)
					}
					var from int
					if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); n == 0 {
						return false
					}
					r.Header.Del("Range")
					right := httptest.NewRecorder()
					l.source.handler.ServeHTTP(right, r)
					wrong(w, right.Body.Bytes(), from)
					return true
				}
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
			})
		})
	}
}

// A registry may begin an upload instead of a mount, and then not know it. The upload is begun once more without a mount.
func TestABlobArrivesThoughTheUploadOfAMountIsUnknown(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/team/app:1", randomImage(t, 3000, 2))
		l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/uploads/nobody") {
				_, _ = io.Copy(io.Discard, r.Body)
				answer(404, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"unknown"}]}`)(w, r)
				return true
			}
			if r.Method == http.MethodPost && r.URL.Query().Has("mount") {
				w.Header().Set("Location", "/v2/copy/blobs/uploads/nobody")
				w.WriteHeader(202)
				return true
			}
			return false
		}
		l.copy(t.Context(), "source.test/team/app:1", "source.test/copy:1").succeeded(t, digest)
	})
}

// Challenges as registries and proxies write them.
func TestLoginsWorkWithChallengesOfAllForms(t *testing.T) {
	const realm = `"http://source.test/token"`
	for name, headers := range map[string][]string{
		"lower case":                  {`bearer realm=` + realm + `,service="x"`},
		"upper case":                  {`BEARER REALM=` + realm + `,SERVICE="x"`},
		"spaces":                      {`Bearer realm=` + realm + ` , service="x" ,  scope="repository:app:pull"`},
		"commas in quotes":            {`Bearer realm=` + realm + `,service="x",scope="repository:app:pull,push"`},
		"no quotes":                   {`Bearer realm=http://source.test/token,service=x`},
		"no service":                  {`Bearer realm=` + realm},
		"basic in a header behind":    {`Bearer realm=` + realm + `,service="x"`, `Basic realm="y"`},
		"basic in the same, behind":   {`Bearer realm=` + realm + `,service="x", Basic realm="y"`},
		"basic in the same, before":   {`Basic realm="y", Bearer realm=` + realm + `,service="x"`},
		"another in the same, before": {`Negotiate, Bearer realm=` + realm + `,service="x"`},
		"another in a header before":  {`Negotiate`, `Bearer realm=` + realm + `,service="x"`},
		"a query in the realm":        {`Bearer realm="http://source.test/token?account=a,b",service="x"`},
		"an error":                    {`Bearer realm=` + realm + `,service="x",error="invalid_token"`},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 3000, 1))
				l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/token" {
						_, _ = io.WriteString(w, `{"access_token":"good"}`)
						return true
					}
					if r.Header.Get("Authorization") == "Bearer good" {
						return false
					}
					w.Header()["Www-Authenticate"] = headers
					w.WriteHeader(401)
					return true
				}
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
			})
		})
	}
}

// serveManifest has the source serve a manifest, and says which digest it has.
func serveManifest(t *testing.T, l *lab, m any, mediaType string) v1.Hash {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	digest, _, err := v1.SHA256(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	before := l.source.fault
	l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/app/manifests/1" || r.URL.Path == "/v2/app/manifests/"+digest.String() {
			w.Header().Set("Content-Type", mediaType)
			_, _ = w.Write(raw)
			return true
		}
		return before != nil && before(w, r)
	}
	return digest
}

// A descriptor may hold its blob's data.
func TestInlineDataCountsOnlyIfItHasTheDigest(t *testing.T) {
	for name, data := range map[string][]byte{"right": []byte("{}"), "wrong": []byte("[]"), "other length": []byte("{ }")} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				content := "{}"
				sum, _, _ := v1.SHA256(strings.NewReader(content))
				_ = l.source.Put(t.Context(), "app", sum, io.NopCloser(strings.NewReader(content)))
				desc := v1.Descriptor{MediaType: "application/vnd.oci.empty.v1+json", Size: 2, Digest: sum, Data: data}
				digest := serveManifest(t, l, v1.Manifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.manifest.v1+json", Config: desc,
					Layers: []v1.Descriptor{desc}}, "application/vnd.oci.image.manifest.v1+json")
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
			})
		})
	}
}

// An image whose layers have SHA-512 digests is copied as any other.
func TestImagesWithSHA512DigestsAreCopied(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		layer := strings.Repeat("layer", 1000)
		sum := sha512.Sum512([]byte(layer))
		digest512 := v1.Hash{Algorithm: "sha512", Hex: hex.EncodeToString(sum[:])}
		config, _, _ := v1.SHA256(strings.NewReader("{}"))
		_ = l.source.Put(t.Context(), "app", config, io.NopCloser(strings.NewReader("{}")))
		l.source.fault = times(forEver, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, digest512.String()) }, answer(200, layer))
		raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":%q},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","size":%d,"digest":%q}]}`,
			config, len(layer), digest512)
		digest := serveManifest(t, l, json.RawMessage(raw), "application/vnd.oci.image.manifest.v1+json")
		has := false
		l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PUT" && r.URL.Query().Get("digest") == digest512.String() {
				has = true
				w.WriteHeader(201)
				return true
			}
			if r.Method == "HEAD" && strings.HasSuffix(r.URL.Path, digest512.String()) && has {
				w.Header().Set("Content-Length", fmt.Sprint(len(layer)))
				w.WriteHeader(200)
				return true
			}
			return false
		}
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
	})
}

func TestChallengesAreSeparated(t *testing.T) {
	for given, want := range map[string]string{
		"":                                "",
		"Negotiate":                       "Negotiate",
		", \f ,":                          "",
		"\v\fBasic":                       "Basic",
		`Basic realm="a, b" , charset=u8`: `Basic realm="a, b",charset="u8"`,
		`Basic realm="a\"b"`:              `Basic realm="a\"b"`,
		`Basic realm="open`:               `Basic | realm="open`,
		`Negotiate abc==, Bearer realm="https://a.test/?a=b,c",scope="x:pull,push"`: `Bearer realm="https://a.test/?a=b,c",scope="x:pull,push" | Negotiate abc="="`,
		`a=b`: `a=b`,
	} {
		if got := strings.Join(separate([]string{given}), " | "); got != want {
			t.Errorf("%q became %q, want %q", given, got, want)
		}
	}
}
