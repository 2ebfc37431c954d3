// Package clients_test tries pullwatch with GraphQL clients that others have written, in the languages that they are
// written in. It needs no cluster, but npm and Node.
package clients_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestClientsOfNode(t *testing.T) {
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
