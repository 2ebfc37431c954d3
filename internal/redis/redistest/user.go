package redistest

import (
	"os"
	"strings"
	"testing"
)

// AllowUser makes, on the servers, the user that a page of the documentation says pullwatch needs. file is that page. login is the
// part of a URL before the host with which the user logs in.
func AllowUser(t testing.TB, file string, servers ...*Server) (login string) {
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
	args := []any{"ACL", "SETUSER"}
	for _, word := range strings.Fields(rule) {
		args = append(args, strings.NewReplacer("'", "", `\`, "").Replace(word)) // without what is for the shell only
	}
	for _, server := range servers {
		if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return "pullwatch:password@"
}
