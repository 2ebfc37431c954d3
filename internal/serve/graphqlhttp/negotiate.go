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
	// typeMultipart has the parameter subscriptionSpec=1.0: see isMultipart.
	typeMultipart = "multipart/mixed"
)

// accepted is which responses a client accepts.
type accepted struct {
	// single is the media type of a single response, or empty.
	single string
	// events means that the client accepts a stream of events, by name.
	events bool
	// eventsFirst means that the client prefers a stream of events to a single response.
	eventsFirst bool
	// multipart means that the client accepts a subscription in parts, and prefers that to events.
	multipart bool
}

// subscription returns the format for a subscription, or nil if the client accepts none.
func (a accepted) subscription() format {
	switch {
	case a.multipart:
		return multipartFormat{}
	case a.events:
		return eventFormat{}
	}
	return nil
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
	json, response, events, multipart := quality{}, quality{}, quality{}, quality{}
	for value := range elements(values) {
		name, q := splitQuality(value)
		json.match(name, typeJSON, q)
		response.match(name, typeResponse, q)
		events.match(name, typeEvents, q)
		if isMultipart(value) {
			multipart.match(name, typeMultipart, q)
		}
	}
	a := accepted{events: events.named() && events.q > 0}
	a.multipart = multipart.named() && multipart.q > 0 && !(a.events && events.q >= multipart.q)
	switch {
	// A client that names the newer type knows it. A wildcard gets the older one, which every client knows.
	case response.q > 0 && (response.q > json.q || response.named() && response.q == json.q):
		a.single = typeResponse
	case json.q > 0:
		a.single = typeJSON
	}
	a.eventsFirst = a.events && events.q > max(json.q, response.q)
	return a
}

// isMultipart reports whether an element of Accept names Apollo's multipart subscriptions. Other responses in parts, such as
// those of deferred fields, have other parameters.
func isMultipart(element string) bool {
	name, parameters, _ := strings.Cut(element, ";")
	if !strings.EqualFold(strings.TrimSpace(name), typeMultipart) {
		return false
	}
	for parameter := range strings.SplitSeq(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(key, "subscriptionSpec") && strings.Trim(value, `"`) == "1.0" {
			return true
		}
	}
	return false
}

// quality is the quality value of a media type or a coding: that of the most specific range which includes it.
type quality struct {
	q           float64
	specificity int
}

func (q *quality) match(pattern, name string, value float64) {
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
		*q = quality{value, specificity}
	}
}

// named reports whether the header has it by name.
func (q *quality) named() bool { return q.specificity == 3 }

// acceptsGzip reports whether the Accept-Encoding header accepts gzip.
func acceptsGzip(values []string) bool {
	if len(values) == 0 {
		return false
	}
	if len(values) == 1 && values[0] == "gzip" {
		return true
	}
	gzip := quality{}
	for value := range elements(values) {
		name, q := splitQuality(value)
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

// splitQuality splits an element of Accept or Accept-Encoding into its name and its quality value, which is 1 by default.
func splitQuality(element string) (name string, q float64) {
	name, parameters, _ := strings.Cut(element, ";")
	q = 1
	for parameter := range strings.SplitSeq(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(key, "q") {
			parsed, err := strconv.ParseFloat(value, 64)
			if err != nil || !(parsed >= 0 && parsed <= 1) {
				parsed = 0
			}
			q = parsed
		}
	}
	return strings.TrimSpace(name), q
}
