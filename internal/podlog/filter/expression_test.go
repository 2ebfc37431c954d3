package filter

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"runtime"
	"strings"
	"testing"

	"pullwatch/internal/usererr"
)

// words is an alternation of a hundred words that begin differently.
func words() string {
	var all []string
	for i := range 100 {
		all = append(all, fmt.Sprintf("%c%cerror", 'a'+i%26, 'a'+i/26))
	}
	return strings.Join(all, "|")
}

func TestUsefulExpressionsAreAccepted(t *testing.T) {
	for _, text := range []string{
		`\b(error|warn)\b.*timeout`,
		words(),
		`(?i)(` + words() + `)`,
		`\b(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}\b`,
		`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`,
		`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}`,
		`(\pL{1,30} ){10}`,
		`"level":"(error|fatal)".{0,200}"status":5\d\d`,
		`^`, `$`, `^$`, `a|^b`, `(?i)straße`, `x{0}`, `\Qa(b\E`, `(?s)a.b$`,
	} {
		e, err := Compile("include", &text)
		if err != nil {
			t.Errorf("%.40s: %v", text, err)
			continue
		}
		plain := regexp.MustCompile(text)
		for _, line := range []string{"", "b", "ab", "a(b", "error: a timeout", "aderror", "127.0.0.1", "STRASSE", "a\nb"} {
			if got, want := e.MatchString(line), plain.MatchString(line); got != want {
				t.Errorf("%.40s matches %q: %v, want %v", text, line, got, want)
			}
		}
	}
}

func TestExpressionsThatExpandAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"any":         `(?:` + strings.Repeat(`.?`, 495) + `){1000}Z`,
		"literal":     `(?:` + strings.Repeat(`a`, 1000) + `){1000}`,
		"class":       `(?:` + strings.Repeat(`[a-z]?`, 160) + `){1000}Z`,
		"letters":     `(?:` + strings.Repeat(`\pL?`, 250) + `){1000}Z`,
		"nested":      `((((((((a{2}){2}){2}){2}){2}){2}){2}){2}){2}`,
		"optional":    `(?:ab?){0,400}`,
		"at least":    `(?:ab?){400,}`,
		"many ranges": strings.Repeat(`[\pL\pM\pN\pS\pP]`, 60),
	} {
		if _, err := Compile("include", &text); usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), "* and + count it once") {
			t.Errorf("%s: got %v, want BAD_INPUT that says how to write it smaller", name, err)
		}
	}
}

// What the regexp package builds for some anchored expressions grows with the square of the expression.
func TestAnAnchoredExpressionTakesNoMoreThanAnother(t *testing.T) {
	text := ``
	for i := range 290 {
		text += string(rune('à'+i)) + `?`
	}
	text += `\pN?\pM?\pS?\pP?\pZ?\p{Co}?[\x{4e00}-\x{9fff}]?`
	for name, compile := range map[string]func() (*Expression, error){
		"anchored": func() (*Expression, error) {
			anchored := `^` + text + `$`
			return Compile("include", &anchored)
		},
		"whole": func() (*Expression, error) { return CompileWhole("containers", &text) },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := compile(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 10<<20 {
			t.Errorf("%s: %d bytes were allocated to compile it", name, took)
		}
	}
}

func TestAWholeMatchIsOneOfTheWholeText(t *testing.T) {
	for _, test := range []struct {
		expression, text string
		want             bool
	}{
		{`app`, "app", true}, {`app`, "my-app", false}, {`app`, "apps", false},
		{`a|ab`, "ab", true}, {`app|side.*`, "sidecar", true}, {`app|side.*`, "apps", false},
		{`^app$`, "app", true}, {`.*`, "", true}, {`(?i)APP`, "app", true}, {`app`, "app\n", false}, {`(?m)app$`, "app\n", false},
	} {
		e, err := CompileWhole("containers", &test.expression)
		if err != nil || e.MatchString(test.text) != test.want {
			t.Errorf("%s matches all of %q: %v, %v", test.expression, test.text, !test.want, err)
		}
	}
	for _, text := range []string{`a)|(b`, `(`, strings.Repeat(`a`, 2000)} {
		if _, err := CompileWhole("containers", &text); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("%.20s: got %v", text, err)
		}
	}
}

// FuzzExpression checks that no expression that is accepted becomes more than it was taken for.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		`a`, ``, `(?:(?:a{2}){3,}){2,5}`, `(a|b*)*?|^c+$`, `(?i)[^\pL]{3}k`, `(((a)?)*)+`, `()|(?:){9}`, `x{0}{0}`, `\b\B\A\z`,
		`[^\x00-\x{10FFFF}]*`, `(?:[^\x00-\x{10FFFF}]|a){7}`, `abc|abd|ab`, `(?:(?:){1000}|a){0,3}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Compile("include", &text)
		if err != nil {
			if usererr.CodeOf(err) != usererr.BadInput {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if e == nil {
			return
		}
		parsed, err := syntax.Parse(e.String(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(program.Inst); n > e.size || n > maxProgram {
			t.Errorf("%q: %d instructions, taken for %d", text, n, e.size)
		}
		if len(text) > 100 {
			return // what it becomes without unanchored may be too much
		}
		if got, want := e.MatchString("a line of 3 words"), regexp.MustCompile(text).MatchString("a line of 3 words"); got != want {
			t.Errorf("%q matches: %v, want %v", text, got, want)
		}
	})
}
