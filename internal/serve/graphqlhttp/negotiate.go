package graphqlhttp

import (
	"strconv"
	"strings"
)

// Media types of responses.
const (
	typeJSON     = "application/json"
	typeResponse = "application/graphql-response+json"
	typeEvents   = "text/event-stream"
)

// accepted is what a client takes as an answer.
type accepted struct {
	// single is the media type of a single response, or empty.
	single string
	// events says that a stream may be sent, because it is asked for by name.
	events bool
	// eventsFirst says that a stream is wanted even where a single response would do.
	eventsFirst bool
}

// accept reads the Accept header.
func accept(values []string) accepted {
	if len(values) == 0 {
		return accepted{single: typeJSON}
	}
	if len(values) == 1 {
		switch values[0] {
		case "*/*", typeJSON: // what most clients send
			return accepted{single: typeJSON}
		}
	}
	json, response, events := quality{}, quality{}, quality{}
	for value := range elements(values) {
		name, q := weighted(value)
		json.match(name, typeJSON, q)
		response.match(name, typeResponse, q)
		events.match(name, typeEvents, q)
	}
	a := accepted{events: events.named() && events.q > 0}
	switch {
	// Who names the newer type knows it. A wildcard gets the one that everybody knows.
	case response.q > 0 && (response.q > json.q || response.named() && response.q == json.q):
		a.single = typeResponse
	case json.q > 0:
		a.single = typeJSON
	}
	a.eventsFirst = a.events && events.q > max(json.q, response.q)
	return a
}

// quality is how much something is wanted, by the most specific of the ranges that it is in.
type quality struct {
	q           float64
	specificity int
}

func (q *quality) match(pattern, name string, weight float64) {
	specificity := 0
	switch kind, _, _ := strings.Cut(name, "/"); {
	case strings.EqualFold(pattern, name):
		specificity = 3
	case strings.EqualFold(pattern, kind+"/*"):
		specificity = 2
	case pattern == "*/*", pattern == "*":
		specificity = 1
	}
	if specificity > 0 && specificity >= q.specificity {
		*q = quality{weight, specificity}
	}
}

// named reports whether it was asked for by its own name.
func (q *quality) named() bool { return q.specificity == 3 }

// acceptsGzip reports whether the Accept-Encoding header lets a response be compressed.
func acceptsGzip(values []string) bool {
	if len(values) == 0 {
		return false
	}
	if len(values) == 1 && values[0] == "gzip" {
		return true
	}
	gzip := quality{}
	for value := range elements(values) {
		name, q := weighted(value)
		gzip.match(name, "gzip", q)
	}
	return gzip.q > 0
}

// elements yields the elements of a header that is a list.
func elements(values []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, value := range values {
			for element := range strings.SplitSeq(value, ",") {
				if element = strings.TrimSpace(element); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// weighted splits an element of Accept or Accept-Encoding into its name and its weight, which is 1 unless it says
// another.
func weighted(element string) (name string, q float64) {
	name, parameters, _ := strings.Cut(element, ";")
	q = 1
	for parameter := range strings.SplitSeq(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(key, "q") {
			weight, err := strconv.ParseFloat(value, 64)
			if err != nil || !(weight >= 0 && weight <= 1) {
				weight = 0
			}
			q = weight
		}
	}
	return strings.TrimSpace(name), q
}
