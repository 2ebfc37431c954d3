// Package web is the page at /: GraphiQL with examples to run. All its files are embedded, so that it needs no other host.
// The schema at /schema.graphql is for the tools of client authors.
package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
)

// Options say what the page shows.
type Options struct {
	// Demo makes the page say that the cluster is simulated. The examples then use what the simulated cluster has.
	Demo bool
	// Behaviors explain the simulation. They are shown only with Demo.
	Behaviors []Behavior
	// Schema is the text at /schema.graphql, which is not found when it is empty.
	Schema string
}

// Behavior says what happens in the demo to a pull of an image that has Word in its name.
type Behavior struct {
	Word string
	// Description says what happens, as a phrase that follows "it".
	Description string
}

//go:generate node vendor/generate.mjs

//go:embed page.html page.css page.js logo.svg examples
//go:embed vendor/*.js vendor/*.css vendor/LICENSES.txt
var files embed.FS

// assetNames are the files that the page refers to.
var assetNames = []string{
	"logo.svg", "page.css", "page.js", "vendor/LICENSES.txt",
	"vendor/graphiql.min.css", "vendor/graphiql.min.js",
	"vendor/react.production.min.js", "vendor/react-dom.production.min.js",
}

// contentSecurityPolicy lets the page connect to its own server only. GraphiQL's editor and dialogs need inline styles.
// 'self' includes WebSockets to the same host.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page at / and its assets below /assets/, and /schema.graphql. Every other path is not found. The page
// expects GraphQL at /graphql of the same host, by POST and by WebSocket (graphql-transport-ws).
func Handler(options Options) http.Handler {
	mux := http.NewServeMux()
	urls := map[string]string{}
	for _, name := range assetNames {
		content := mustRead(name)
		url := "/assets/" + contentHash(content) + "/" + path.Base(name)
		urls[path.Base(name)] = url
		// The path holds the content's hash, so a browser may cache the asset for ever.
		mux.Handle(url, newAsset(name, content, "public, max-age=31536000, immutable"))
	}
	if options.Schema != "" {
		mux.Handle("/schema.graphql", newAsset("schema.graphql", []byte(options.Schema), "no-cache"))
	}
	mux.Handle("/{$}", newAsset("page.html", renderPage(options, urls), "no-cache"))
	return withSecurityHeaders(mux)
}

// renderPage returns the page's HTML. urls maps the base name of each asset to its URL.
func renderPage(options Options, urls map[string]string) []byte {
	page := template.Must(template.New("page.html").
		Funcs(template.FuncMap{"asset": func(name string) (string, error) {
			url, ok := urls[name]
			if !ok {
				return "", fmt.Errorf("no asset %s", name)
			}
			return url, nil
		}}).
		Parse(string(mustRead("page.html"))))
	var html bytes.Buffer
	data := struct {
		Options
		Documents documents
	}{options, newDocuments(options.Demo)}
	if err := page.Execute(&html, data); err != nil {
		panic(err) // a mistake in the embedded template
	}
	return html.Bytes()
}

func mustRead(name string) []byte {
	content, err := fs.ReadFile(files, name)
	if err != nil {
		panic(err) // no such file is embedded
	}
	return content
}

func withSecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", contentSecurityPolicy)
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
