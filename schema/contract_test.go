// Package schema_test holds the schema that is served against the contract that clients rely on.
package schema_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/99designs/gqlgen/graphql/introspection"

	"pullwatch/graph"
)

func TestServedSchemaKeepsTheContract(t *testing.T) {
	directory := installCheck(t)
	served := introspect(t)

	check := command(t, directory, "node", "check.mjs")
	check.Stdin = bytes.NewReader(served)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// introspect returns what the GraphQL endpoint answers to the introspection query.
func introspect(t *testing.T) []byte {
	t.Helper()
	server := handler.New(graph.NewExecutableSchema(graph.Config{}))
	server.AddTransport(transport.POST{})
	server.Use(extension.Introspection{})

	body := `{"query":` + strconv.Quote(introspection.Query) + `}`
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		t.Fatalf("introspection: %d %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.Bytes()
}

// installCheck returns a temporary directory with the check and the packages that it needs.
func installCheck(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	if err := os.CopyFS(directory, os.DirFS("contract")); err != nil {
		t.Fatal(err)
	}
	install := command(t, directory, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return directory
}

func command(t *testing.T, directory, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = directory
	return cmd
}
