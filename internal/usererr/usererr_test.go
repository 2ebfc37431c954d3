package usererr

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"pullwatch/schema"
)

func TestClientsAreToldTheCodeOfTheFirstErrorForUsers(t *testing.T) {
	full := New(Unavailable, "no memory")
	for name, c := range map[string]struct {
		err  error
		want Code
	}{
		"one for users":              {New(NotFound, "no pull %s", "a"), NotFound},
		"wrapped by another package": {fmt.Errorf("start pulls: %w", full), Unavailable},
		"among others":               {errors.Join(errors.New("dial"), full, New(Conflict, "later")), Unavailable},
		"caused by another":          {Wrap(New(NotFound, "inner"), Forbidden, "outer"), Forbidden},
		"internal":                   {errors.New("dial tcp 10.1.2.3"), Internal},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%s: %s; want %s", name, got, c.want)
		}
	}
}

func TestTheCauseIsForTheLogAndNotForClients(t *testing.T) {
	err := Wrap(context.DeadlineExceeded, Timeout, "Kubernetes took longer than %d s", 5)
	if err.Message != "Kubernetes took longer than 5 s" {
		t.Errorf("clients see %q", err.Message)
	}
	if err.Error() != "Kubernetes took longer than 5 s: context deadline exceeded" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the log has %q", err)
	}
}

// An operator is alarmed by failures of the server only: clients can make any number of mistakes.
func TestOnlyWhatTheServerCouldNotDoIsAFailure(t *testing.T) {
	cause := errors.New("cause")
	for _, code := range codes(t) {
		mistake, caused := New(code, ""), Wrap(cause, code, "")
		wantMistake := code == Internal
		wantCaused := code == Internal || code == Unavailable || code == Timeout
		if mistake.IsFailure() != wantMistake || caused.IsFailure() != wantCaused {
			t.Errorf("%s: %v, with a cause %v; want %v and %v", code, mistake.IsFailure(), caused.IsFailure(), wantMistake, wantCaused)
		}
	}
}

func TestCodesAreThoseOfTheSchema(t *testing.T) {
	enum := regexp.MustCompile(`(?s)enum ErrorCode \{(.*?)\n\}`).FindStringSubmatch(schema.Text)
	if enum == nil {
		t.Fatal("the schema has no ErrorCode")
	}
	var want []Code
	for _, line := range regexp.MustCompile(`(?m)^\s+([A-Z_]+)$`).FindAllStringSubmatch(enum[1], -1) {
		want = append(want, Code(line[1]))
	}
	got := codes(t)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q; the schema has %q", got, want)
	}
}

// codes returns all constants of type Code.
func codes(t *testing.T) (all []Code) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "usererr.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
				text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, Code(text))
			}
		}
		return true
	})
	return all
}
