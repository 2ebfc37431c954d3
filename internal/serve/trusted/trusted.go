// Package trusted holds the trusted documents: those that manifests of the server's operator name by ids, and those that the
// server's own page sends. A manifest is what GraphQL Code Generator, Relay's compiler or Apollo's tools write when a client
// is built.
//
// All documents are checked when the manifests are read. Requests get texts, which are then parsed and cached like any other.
package trusted

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/serve/reload"
)

// Options say which documents are trusted.
type Options struct {
	// Files are the manifests.
	Files []string
	// Check returns why a document cannot be executed, or nil.
	Check func(text string) error
	// Page has the documents of the server's own page. They have no ids.
	Page   []string
	Logger *slog.Logger
}

// Trust says why a document is executed or refused. It is a label of a metric.
type Trust string

const (
	// InManifest is a document that a manifest has.
	InManifest Trust = "trusted"
	// OfPage is one that only the server's own page has.
	OfPage Trust = "page"
	// Other is any other one that is executed.
	Other Trust = "other"
	// Refused is one that is not executed because it is not trusted.
	Refused Trust = "refused"
	// Unknown is one whose id is in no manifest.
	Unknown Trust = "unknown"
)

// Documents are the trusted documents. They change when the manifests do. While those have a mistake, the former documents
// stay. Any number of goroutines may use Documents. nil trusts none.
type Documents struct {
	manifests *reload.Files[manifests]
	page      map[string]bool
	reloads   *prometheus.CounterVec
	requests  *prometheus.CounterVec
}

// manifests are the documents of all manifests at a time.
type manifests struct {
	// generation is another number each time.
	generation uint64
	// texts has them by the ids of the manifests, and by "sha256:" and their hash.
	texts map[string]string
	// known has them by their texts.
	known map[string]bool
}

// Load reads the manifests. An error says which entry of which file is wrong, and how.
func Load(o Options) (*Documents, error) {
	d := &Documents{
		page: map[string]bool{},
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_trusted_documents_reloads_total",
			Help: "Changes of the files of --trusted-documents: loaded, or failed and the former documents are still in use.",
		}, []string{"result"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_trusted_documents_requests_total",
			Help: "Operations by their document: trusted, page (of the server's own page), other, refused (not trusted, with --only-trusted), unknown (its id is in no file).",
		}, []string{"document"}),
	}
	for _, text := range o.Page {
		d.page[text] = true
	}
	// Parse is called by one goroutine at a time.
	var generation uint64
	checked := map[string]bool{} // the documents of the former manifests
	files, err := reload.Load(reload.Options[manifests]{
		Names: o.Files, MaxBytes: maxFile,
		Parse: func(contents [][]byte) (*manifests, error) {
			m, err := merge(o.Files, contents, func(text string) error {
				if checked[text] {
					return nil
				}
				return o.Check(text)
			})
			if err != nil {
				return nil, err
			}
			generation++
			checked, m.generation = m.known, generation
			return m, nil
		},
		Replaced: func(m *manifests) {
			d.reloads.WithLabelValues("loaded").Inc()
			o.Logger.Info("the trusted documents were read again", "documents", len(m.known))
		},
		Failed: func(err error, former *manifests) {
			d.reloads.WithLabelValues("failed").Inc()
			o.Logger.Error("the changed trusted documents cannot be used; the former ones stay in use", "error", err, "documents", len(former.known))
		},
	})
	if err != nil {
		return nil, err
	}
	d.manifests = files
	return d, nil
}

// merge returns the documents of all manifests, or the first mistakes in them.
func merge(names []string, contents [][]byte, check func(text string) error) (*manifests, error) {
	m := &manifests{texts: map[string]string{}, known: map[string]bool{}}
	from := map[string]string{} // the file of each id
	var errs []error
	count := 0
	for i, content := range contents {
		entries, err := parseManifest(content)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", names[i], err))
		}
		for _, e := range entries {
			if count++; count > maxDocuments {
				return nil, fmt.Errorf("%s: there are more than %d documents", names[i], maxDocuments)
			}
			switch other, again := m.texts[e.id]; {
			case e.id == "" || len(e.id) > maxID:
				err = fmt.Errorf("an id has 1 to %d bytes", maxID)
			case again && other != e.text:
				err = fmt.Errorf("%s has another document of this id", from[e.id])
			case again:
				continue
			default:
				err = check(e.text)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", names[i], e, err))
			}
			m.texts[e.id], m.known[e.text], from[e.id] = e.text, true, names[i]
		}
	}
	if more := len(errs) - maxErrors; more > 0 {
		errs = append(errs[:maxErrors], fmt.Errorf("and %d more", more))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for text := range m.known {
		if id := hashID(text); m.texts[id] == "" {
			m.texts[id] = text
		}
	}
	return m, nil
}

// sha256Prefix begins the ids that are hashes by the specification of GraphQL over HTTP.
const sha256Prefix = "sha256:"

func hashID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return sha256Prefix + hex.EncodeToString(sum[:])
}

// Find returns the document with an id: one in a manifest, or the SHA-256 of the text, with or without "sha256:" before it.
func (d *Documents) Find(id string) (text string, ok bool) {
	if d == nil {
		return "", false
	}
	texts := d.manifests.Get().texts
	if text, ok = texts[id]; !ok {
		hash, prefixed := strings.CutPrefix(id, sha256Prefix)
		if !prefixed {
			hash = sha256Prefix + id
		}
		text, ok = texts[hash]
	}
	return text, ok
}

// Of returns whether a document is trusted: InManifest, OfPage or Other.
func (d *Documents) Of(text string) Trust {
	switch {
	case d == nil:
		return Other
	case d.manifests.Get().known[text]:
		return InManifest
	case d.page[text]:
		return OfPage
	}
	return Other
}

// Generation returns a number that is another one when the documents have changed.
func (d *Documents) Generation() uint64 {
	if d == nil {
		return 0
	}
	return d.manifests.Get().generation
}

// Count counts an operation. It ignores an empty Trust.
func (d *Documents) Count(t Trust) {
	if d != nil && t != "" {
		d.requests.WithLabelValues(string(t)).Inc()
	}
}

// Reload reads the manifests now.
func (d *Documents) Reload() { d.manifests.Reload() }

// Register registers the metrics.
func (d *Documents) Register(r prometheus.Registerer) {
	r.MustRegister(d.reloads, d.requests, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pullwatch_trusted_documents", Help: "Different documents in the files of --trusted-documents.",
	}, func() float64 { return float64(len(d.manifests.Get().known)) }))
}
