package graphqlhttp

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// asciiUpper returns text with ASCII letters in upper case.
func asciiUpper(text string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, text)
}

// sameList returns other ways to send a header that is a list.
func sameList(header string) map[string][]string {
	parts := strings.Split(header, ",")
	return map[string][]string{
		"in lines":               parts,
		"with spaces":            {" " + strings.Join(parts, " ,\t") + " "},
		"with empty elements":    {"," + strings.Join(parts, ",,") + ","},
		"in upper case":          {asciiUpper(header)},
		"with something unknown": {header, "x/y;q=0.9"},
		"behind something":       {"x/y", header},
	}
}

// FuzzAccept checks that a client gets only media types that it accepts, however it writes the header.
func FuzzAccept(f *testing.F) {
	for _, seed := range []string{
		"", "*/*", typeJSON, typeResponse + ", " + typeJSON + ";q=0.9", typeEvents, "text/html, */*;q=0.8", "application/*;q=0",
		typeJSON + ";q=NaN", typeJSON + "; charset=utf-8;Q=0.1", "*;q=1e-1", typeEvents + ";q=0x1p-2, " + typeJSON, ";q=1,=", `a/b;c="d,e"`,
		typeResponse + ";q=0, application/*", acceptsParts, `multipart/mixed;boundary="graphql";subscriptionSpec=1.0, ` + typeEvents + ";q=0.9",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := accept([]string{header})
		if !slices.Contains([]string{"", typeJSON, typeResponse}, got.single) || got.eventsFirst && !got.events {
			t.Fatalf("%+v", got)
		}
		if got.events && !strings.Contains(asciiUpper(header), "EVENT-") && !strings.Contains(header, "\u017f") { // a long s folds
			t.Fatal("events are sent to a client that has not named them")
		}
		if got.multipart && (!strings.Contains(asciiUpper(header), "MULTIPART/MIXED") || !strings.Contains(header, "1.0")) {
			t.Fatal("parts are sent to a client that has not named them")
		}
		for how, values := range sameList(header) {
			if other := accept(values); other != got {
				t.Errorf("%s: %+v; otherwise %+v", how, other, got)
			}
		}
		none := typeJSON + ";q=0, " + typeResponse + ";q=0.000"
		if last := accept([]string{header, none}); last.single != "" {
			t.Errorf("%s is sent to a client that does not accept it", last.single)
		}
		if last := accept([]string{header, none, typeJSON + ";q=0.1"}); last.single != typeJSON {
			t.Errorf("%q is sent to a client that accepts JSON only", last.single)
		}
		if last := accept([]string{header, typeEvents + "; q=0"}); last.events {
			t.Error("events are sent to a client that does not accept them")
		}
	})
}

// FuzzAcceptsGzip checks that nothing is compressed for clients that do not accept it.
func FuzzAcceptsGzip(f *testing.F) {
	for _, seed := range []string{"", "gzip", "gzip, deflate, br, zstd", "*;q=0.1", "gzip;q=0, *", "GZIP;Q=0.0", "gzip;q=-0", "identity;q=0", "x-gzip"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := acceptsGzip([]string{header})
		if got && !strings.Contains(header, "*") && !strings.Contains(asciiUpper(header), "GZIP") {
			t.Fatal("it is not named")
		}
		for how, values := range sameList(header) {
			if acceptsGzip(values) != got {
				t.Errorf("%s: %t", how, !got)
			}
		}
		if acceptsGzip([]string{header, "gzip;q=0"}) {
			t.Error("it is used although its weight is zero")
		}
		if !acceptsGzip([]string{header, "gzip;q=0.001"}) {
			t.Error("it is not used although it is accepted")
		}
	})
}

// FuzzMatches checks that a client gets 304 only if it has named the ETag of the response.
func FuzzMatches(f *testing.F) {
	for _, seed := range []string{`"a"`, `W/"a"`, `"b", W/"a"`, `"b" , "c"`, `*`, ``, `"a,*,b"`, `"*"`, `"x, W/"`, `"b",, "a",`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		const tag = `W/"a"`
		if matches([]string{header}, tag) != matches([]string{header}, strings.TrimPrefix(tag, "W/")) {
			t.Error("a strong one matches otherwise")
		}
		if tags, ok := entityTags(header); ok && matches([]string{header}, tag) != slices.Contains(tags, `"a"`) {
			t.Errorf("matches: %t", !slices.Contains(tags, `"a"`))
		}
		if !matches([]string{header, `"b", "a"`}, tag) {
			t.Error("it is not found in another line")
		}
	})
}

// entityTags reads a list of ETags as RFC 9110 has it, without saying which are weak. Commas may be in them.
func entityTags(header string) (tags []string, ok bool) {
	for {
		header = strings.TrimLeft(header, ", \t")
		if header == "" {
			return tags, true
		}
		header = strings.TrimPrefix(header, "W/")
		if !strings.HasPrefix(header, `"`) {
			return nil, false
		}
		opaque, rest, ended := strings.Cut(header[1:], `"`)
		if !ended || strings.ContainsAny(opaque, " \t") || strings.Trim(rest, " \t") != "" && !strings.HasPrefix(strings.TrimLeft(rest, " \t"), ",") {
			return nil, false
		}
		tags, header = append(tags, `"`+opaque+`"`), rest
	}
}

// FuzzContentType checks that no body is read that a page of another origin can send without its browser asking this server
// first. Browsers take the text before the first semicolon as the type, and ask unless it is one of a few types.
func FuzzContentType(f *testing.F) {
	for _, seed := range []string{
		typeJSON, typeJSON + "; charset=utf-8", "text/plain", "text/plain; application/json", "text/plain, application/json", "",
		"application/json, text/plain", "application/json;charset=latin1", " Application/JSON ;a=b", "application/json;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		if checkContent(&http.Request{Header: http.Header{"Content-Type": {content}}}) != nil {
			return
		}
		essence, _, _ := strings.Cut(content, ";")
		if got := strings.Trim(essence, " \t\r\n"); asciiUpper(got) != asciiUpper(typeJSON) {
			t.Errorf("%q is taken for JSON", got)
		}
	})
}
