package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// violation is a promise that was broken.
type violation struct {
	// kind is the same for all of its kind.
	kind string
	// client and id name the subscriber and the pull that it is about, if any.
	client, id string
	text       string
}

// verdict collects violations.
type verdict struct {
	mu         sync.Mutex
	violations []violation
}

func (v *verdict) add(one violation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.violations = append(v.violations, one)
}

// report returns the violations for people, a few of each kind with the evidence; empty if there are none.
func (v *verdict) report(evidence func(violation) string) string {
	const shown = 2
	v.mu.Lock()
	defer v.mu.Unlock()
	byKind := map[string][]violation{}
	for _, one := range v.violations {
		byKind[one.kind] = append(byKind[one.kind], one)
	}
	var text strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		all := byKind[kind]
		fmt.Fprintf(&text, "%d times: %s\n", len(all), kind)
		for _, one := range all[:min(shown, len(all))] {
			fmt.Fprintf(&text, "  %s\n%s", strings.Join(slices.DeleteFunc([]string{one.client, one.id, one.text}, empty), ": "), evidence(one))
		}
	}
	return text.String()
}

func empty(s string) bool { return s == "" }

// counts has how often things happened, for people.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[what] += n
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(c.of)) {
		all = append(all, fmt.Sprintf("%s %d", what, c.of[what]))
	}
	return strings.Join(all, ", ")
}
