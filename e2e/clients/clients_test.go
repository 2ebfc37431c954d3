// Package clients_test tests pullwatch with GraphQL client libraries of others, each in its own language. It needs npm and Node,
// and no cluster.
package clients_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pullwatch/internal/serve/graphqlws"
)

func TestClientsWrittenForNodeWork(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "pullwatch")
	run(t, ctx, filepath.Join("..", ".."), "go", "build", "-o", binary, ".")
	run(t, ctx, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	run(t, ctx, dir, "node", "run.mjs", binary)

	rejecting := graphqlws.New(graphqlws.Options{
		InitFunc: func(context.Context, http.Header, map[string]any) (context.Context, map[string]any, error) {
			return nil, nil, errors.New("nobody is let in")
		},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rejecting.Do(w, r, nil) }))
	defer server.Close()
	run(t, ctx, dir, "node", "rejected.mjs", strings.Replace(server.URL, "http", "ws", 1))
	if err := rejecting.Drain(ctx, 0); err != nil {
		t.Error(err)
	}
}

// run runs a command in a directory and fails the test if the command fails.
func run(t *testing.T, ctx context.Context, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
}
