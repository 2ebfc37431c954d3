// Package browsers_test tests pullwatch with the pages of the documentation's examples, GraphQL consoles, and proxies in front of
// it, in Chromium. It needs Chromium, nginx, openssl, npm, Node, unshare and ip, and no cluster.
package browsers_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestPagesWorkInABrowser(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	screenshots, err := os.MkdirTemp("", "pullwatch-screenshots-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(screenshots) // which does nothing if there are any
	// What npm and relay-compiler write stays out of the repository's folders.
	root := t.TempDir()
	for _, folder := range []string{"docs", "schema", "e2e/browsers", "e2e/clients"} {
		if err := os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join("..", "..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	dir, examples := filepath.Join(root, "e2e", "browsers"), filepath.Join(root, "docs", "examples")
	binary := filepath.Join(root, "pullwatch")
	run(t, ctx, filepath.Join("..", ".."), "go", "build", "-o", binary, ".")
	for _, folder := range []string{dir, examples} {
		run(t, ctx, folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	}
	// Only the page that it holds, not the 400 packages from which that was made.
	run(t, ctx, dir, "npm", "pack", "--silent", "--prefer-offline", "graphql-playground-react@1.7.28")
	run(t, ctx, dir, "tar", "-xzf", "graphql-playground-react-1.7.28.tgz")
	run(t, ctx, examples, "npm", "run", "relay")
	// Chromium breaks off requests whenever a network interface comes or goes, as a cluster's do. So it has a network of its own.
	// In a PID namespace of its own, nothing outlives it.
	run(t, ctx, dir, "unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-c", `ip link set lo up && exec node run.mjs "$@"`, "sh", binary, screenshots)
}

// run runs a command in a directory and fails the test if the command fails.
func run(t *testing.T, ctx context.Context, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
}
