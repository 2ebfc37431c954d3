package trusted

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pullwatch/internal/serve/reload"
)

// write writes a manifest and returns its name.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// check refuses documents that begin with "bad".
func check(text string) error {
	if strings.HasPrefix(text, "bad") {
		return errors.New("line 1, column 3: it is bad")
	}
	return nil
}

func load(files ...string) (*Documents, error) {
	return Load(Options{Files: files, Check: check, Page: []string{"{page}"}, Logger: slog.New(slog.DiscardHandler)})
}

// The manifests in testdata are as the tools have written them.
func TestManifestsOfEachToolAreRead(t *testing.T) {
	d, err := load("testdata/codegen.json", "testdata/relay.json", "testdata/apollo.json")
	if err != nil {
		t.Fatal(err)
	}
	for id, begins := range map[string]string{
		"sha256:461c49bde74d02297b106bb6c119d65a32b541146bb1fb85c75f4487e47d90d2": "fragment PullRow on PullJob", // GraphQL Code Generator
		"461c49bde74d02297b106bb6c119d65a32b541146bb1fb85c75f4487e47d90d2":        "fragment PullRow on PullJob",
		"22e8df3ad41ec100e454c43ab25f77a3":                                        "mutation AppStartMutation(", // Relay
		"162a27fd1140465a7ba8943ffc60555fa15b3255075632d330aaa0cdeedb6a9f":        "subscription Watch(",        // Apollo
		"sha256:162a27fd1140465a7ba8943ffc60555fa15b3255075632d330aaa0cdeedb6a9f": "subscription Watch(",
	} {
		text, ok := d.Find(id)
		if !ok || !strings.HasPrefix(text, begins) || d.Of(text) != InManifest {
			t.Errorf("%s: %.30q %v %s; want %q", id, text, ok, d.Of(text), begins)
		}
		if again, _ := d.Find(hashID(text)); again != text {
			t.Errorf("%s is not found by its SHA-256", id)
		}
	}
	for _, id := range []string{"", "sha256:", "22e8df3ad41ec100e454c43ab25f77a4", "Active", "format", "sha256:22e8df3ad41ec100e454c43ab25f77a4"} {
		if text, ok := d.Find(id); ok {
			t.Errorf("%q is found: %q", id, text)
		}
	}
	if d.Of("{page}") != OfPage || d.Of("{other}") != Other {
		t.Errorf("the page's document is %s, another one %s", d.Of("{page}"), d.Of("{other}"))
	}
}

func TestAMistakeInAManifestIsToldWithItsPlace(t *testing.T) {
	const apollo = `{"format":"apollo-persisted-query-manifest","version":1,"operations":`
	for name, c := range map[string]struct{ content, want string }{
		"empty":                         {"", "m.json: line 1: the JSON ends too early"},
		"broken off":                    {"{\n\"a\": \"{a}\",\n\"b\"", "m.json: line 3:"},
		"no JSON":                       {"{\n\"a\": \"{a}\",\n\"b\": x}", "m.json: line 3: invalid character 'x'"},
		"two objects":                   {"{}\n{}", "m.json: line 2: there is something after the object"},
		"a list":                        {`["{a}"]`, "m.json: line 1: expected an object with a document for each id"},
		"a document that is no text":    {`{"a":{"text":"{a}"}}`, `entry "a" is no text`},
		"another version of Apollo's":   {`{"format":"apollo-persisted-query-manifest","version":2,"operations":[]}`, `"version": 1`},
		"another format":                {`{"format":"other","version":1,"operations":[]}`, `"format": "apollo-persisted-query-manifest"`},
		"Apollo's without operations":   {`{"format":"apollo-persisted-query-manifest","version":1}`, "expected an object"},
		"an operation without a body":   {apollo + `[{"id":"a","body":"{a}"},{"id":"b"}]}`, `operation 2 of "operations" needs an "id" and a "body"`},
		"an operation that is none":     {apollo + `["{a}"]}`, `"operations": `},
		"a document that is refused":    {`{"a":"{a}","b":"bad"}`, `m.json: entry "b": line 1, column 3: it is bad`},
		"an operation that is refused":  {apollo + `[{"id":"b","name":"Bad","body":"bad"}]}`, `m.json: entry "b" (Bad): line 1, column 3: it is bad`},
		"an id for two documents":       {`{"a":"{a}","a":"{b}"}`, `m.json: entry "a": m.json has another document of this id`},
		"an id that another file has":   {`{"x":"{y}"}`, "other.json has another document of this id"},
		"no id":                         {`{"":"{a}"}`, `entry "": an id has 1 to 200 bytes`},
		"a long id":                     {`{"` + strings.Repeat("a", 300) + `":"{a}"}`, "an id has 1 to 200 bytes"},
		"more mistakes than are listed": {"{" + strings.TrimSuffix(numbered(20, `"#":"bad",`), ",") + "}", "and 10 more"},
		"too many documents":            {"{" + strings.TrimSuffix(numbered(maxDocuments+1, `"#":"{a}",`), ",") + "}", "m.json: there are more than 10000 documents"},
		"too long a file":               {"{}" + strings.Repeat(" ", maxFile), "m.json: the file is longer than 8388608 bytes"},
		"the same document twice":       {`{"x":"{x}","z":"{x}"}`, ""},
		"no documents":                  {"{}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := load(write(t, dir, "other.json", `{"x":"{x}"}`), write(t, dir, "m.json", c.content))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(strings.ReplaceAll(err.Error(), dir+"/", ""), c.want) {
				t.Errorf("%.500v; want %q", err, c.want)
			}
		})
	}
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(format, "#", fmt.Sprint(i)))
	}
	return b.String()
}

func TestChangedManifestsAreUsedUnlessTheyHaveAMistake(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "m.json", `{"a":"{a}"}`)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		checked := 0
		d, err := Load(Options{Files: []string{file}, Logger: slog.New(slog.NewTextHandler(&log, nil)), Check: func(text string) error {
			checked++
			return check(text)
		}})
		if err != nil {
			t.Fatal(err)
		}
		metrics := prometheus.NewPedanticRegistry()
		d.Register(metrics)
		expect := func(when, id string, generation uint64, gone ...string) {
			t.Helper()
			if _, ok := d.Find(id); !ok || d.Generation() != generation {
				t.Errorf("%s: %s is found: %v, generation %d; want %d", when, id, ok, d.Generation(), generation)
			}
			for _, id := range gone {
				if text, ok := d.Find(id); ok {
					t.Errorf("%s: %q is still found", when, text)
				}
			}
		}
		expect("at first", "a", 1)
		write(t, dir, "m.json", `{"b":"{b}","a2":"{a}"}`)
		expect("at once", "a", 1, "b")
		time.Sleep(reload.Interval)
		expect("a second later", "b", 2, "a")
		write(t, dir, "m.json", `{"c":"bad"}`)
		for range 3 {
			time.Sleep(reload.Interval)
			expect("with a mistake", "b", 2, "c")
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(reload.Interval)
		expect("without the file", "b", 2)
		write(t, dir, "m.json", `{"d":"{d}"}`)
		d.Reload()
		expect("at SIGHUP", "d", 3, "b")
		if checked != 4 { // a, b, bad, d
			t.Errorf("%d documents were checked; want those that were new", checked)
		}
		d.Count(InManifest)
		d.Count("")
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(`# HELP pullwatch_trusted_documents Different documents in the files of --trusted-documents.
# TYPE pullwatch_trusted_documents gauge
pullwatch_trusted_documents 1
# HELP pullwatch_trusted_documents_reloads_total Changes of the files of --trusted-documents: loaded, or failed and the former documents are still in use.
# TYPE pullwatch_trusted_documents_reloads_total counter
pullwatch_trusted_documents_reloads_total{result="failed"} 2
pullwatch_trusted_documents_reloads_total{result="loaded"} 2
# HELP pullwatch_trusted_documents_requests_total Operations by their document: trusted, page (of the server's own page), other, refused (not trusted, with --only-trusted), unknown (its id is in no file).
# TYPE pullwatch_trusted_documents_requests_total counter
pullwatch_trusted_documents_requests_total{document="trusted"} 1
`)); err != nil {
			t.Error(err)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 4 || !strings.Contains(log.String(), `entry \"c\"`) {
			t.Errorf("%d lines are logged; want one for each change, and the entry that is wrong:\n%s", lines, &log)
		}
	})
}

// FuzzManifest checks that whatever is in a file has either documents or a mistake, and that all documents are found.
func FuzzManifest(f *testing.F) {
	for _, content := range []string{
		`{"a":"{a}"}`, `{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"a","name":"A","type":"query","body":"{a}"}]}`,
		`{"format":"{a}"}`, `{"version":1}`, `{"operations":[]}`, `{"a":"\ud800"}`, `[]`, `{}{}`, "{\"a\":\"{a}\"\xff", `{"operations":[null]}`,
		`{"version":1,"operations":[{}],"operations":[]}`, `{"a":null}`,
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		entries, err := parseManifest(content)
		if err == nil && !json.Valid(content) {
			t.Errorf("%q is no JSON and has %v", content, entries)
		}
		m, err := merge([]string{"m"}, [][]byte{content}, check)
		if err != nil {
			return
		}
		for _, e := range entries {
			if m.texts[e.id] != e.text || !m.known[e.text] {
				t.Errorf("%v is not found in %q", e, content)
			}
		}
	})
}
