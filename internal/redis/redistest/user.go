package redistest

import (
	"os"
	"strings"
	"testing"
)

// AllowUser makes the user on servers that the file, a page of the documentation, says that pullwatch needs. It returns what
// stands before the host in the URLs with which that user logs in.
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
		args = append(args, strings.NewReplacer("'", "", `\`, "").Replace(word)) // as a shell reads it
	}
	for _, server := range servers {
		if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return "pullwatch:password@"
}
