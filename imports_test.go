package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Arrows between packages run one way: see docs/architecture.md.
func TestPackagesImportWhatTheyMay(t *testing.T) {
	may := map[string][]string{ // who may import packages that begin so
		"k8s.io/":                       {"pullwatch", "pullwatch/kube", "pullwatch/internal/replica", "pullwatch/internal/demo"},
		"github.com/redis/":             {"pullwatch/cache", "pullwatch/internal/feed/sharedlog", "pullwatch/internal/redis", "pullwatch/internal/replica"},
		"github.com/99designs/":         {"pullwatch/graph", "pullwatch/resolvers", "pullwatch/internal/serve"},
		"github.com/vektah/":            {"pullwatch/graph", "pullwatch/resolvers", "pullwatch/internal/serve"},
		"pullwatch/resolvers":           {"pullwatch/internal/replica", "pullwatch/internal/serve/executor"},
		"pullwatch/kube":                {"pullwatch", "pullwatch/internal/replica"},
		"pullwatch/kube/podlogs":        {"pullwatch/internal/replica"},
		"pullwatch/internal/mirror":     {"pullwatch"},
		"pullwatch/internal/demo":       {"pullwatch"},
		"github.com/google/go-contain":  {"pullwatch/internal/mirror", "pullwatch/internal/pull"},
		"github.com/gorilla/websocket":  {"pullwatch/internal/serve/graphqlws"},
		"pullwatch/internal/replica":    {"pullwatch"},
		"pullwatch/internal/serve/http": {"pullwatch", "pullwatch/internal/replica"},
		// Machinery of log streams, which others use through podlog/follow.
		"pullwatch/internal/podlog/cursor":  {"pullwatch/internal/podlog"},
		"pullwatch/internal/podlog/filter":  {"pullwatch/internal/podlog"},
		"pullwatch/internal/podlog/logline": {"pullwatch/internal/podlog"},
		"pullwatch/internal/podlog/queue":   {"pullwatch/internal/podlog"},
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	below := func(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "k8s.io/client-go") && p.ImportPath == "pullwatch/kube/pullstate" {
				t.Errorf("%s imports %s, but a pull's state depends on nothing but objects", p.ImportPath, imported)
			}
			for prefix, importers := range may {
				own := strings.HasPrefix(p.ImportPath, prefix)
				allowed := slices.ContainsFunc(importers, func(folder string) bool {
					return p.ImportPath == folder || folder != "pullwatch" && below(p.ImportPath, folder)
				})
				if strings.HasPrefix(imported, prefix) && !own && !allowed {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		}
	}
}
