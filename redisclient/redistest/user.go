package redistest

import (
	"os"
	"strings"
	"testing"
)

// StartForUser starts a server with a user that may do what the file, a page of the documentation, says that pullwatch
// needs, and nobody else. It returns the server and the URL with which that user logs in.
func StartForUser(t testing.TB, file string) (server *Server, url string) {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rule, _ := strings.Cut(string(page), "ACL SETUSER ")
	rule, _, found := strings.Cut(rule, "```")
	if !found {
		t.Fatalf("%s holds no ACL SETUSER", file)
	}
	server = Start(t)
	args := []any{"ACL", "SETUSER"}
	for _, word := range strings.Fields(rule) {
		args = append(args, word)
	}
	if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	return server, "redis://pullwatch:password@" + server.Addr
}
