package trusted

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// maxFile is how long a manifest may be, in bytes. It is kept, and read again every second to find changes.
	maxFile = 8 << 20
	// maxDocuments is how many documents all manifests may have.
	maxDocuments = 10_000
	// maxID is how long an id may be, in bytes. Hashes in hexadecimal have up to 128.
	maxID = 200
	// maxErrors is how many mistakes in manifests are reported.
	maxErrors = 10
)

// apolloFormat is what a manifest of Apollo has as its "format".
const apolloFormat = "apollo-persisted-query-manifest"

// entry is a document in a manifest.
type entry struct {
	id, text string
	// name is the name of the operation, empty if the manifest has none.
	name string
}

func (e entry) String() string {
	if e.name == "" {
		return fmt.Sprintf("entry %q", truncate(e.id))
	}
	return fmt.Sprintf("entry %q (%s)", truncate(e.id), truncate(e.name))
}

func truncate(text string) string {
	if len(text) <= maxID {
		return text
	}
	return text[:maxID] + "…"
}

// parseManifest returns the entries of a manifest, in its order. There are two forms: an object with a text for each id, as
// GraphQL Code Generator and Relay write it, and Apollo's, which has a list of operations.
func parseManifest(content []byte) ([]entry, error) {
	d := json.NewDecoder(bytes.NewReader(content))
	entries, err := readManifest(d)
	if err == nil {
		if _, err = d.Token(); err == nil {
			err = errors.New("there is something after the object")
		} else if errors.Is(err, io.EOF) {
			return entries, nil
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the JSON ends too early")
	}
	at := d.InputOffset()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = syntax.Offset
	}
	return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(content[:min(int(at), len(content))], []byte("\n")), err)
}

var errForm = errors.New(`expected an object with a document for each id, or Apollo's with "format": "` + apolloFormat + `" and "version": 1`)

func readManifest(d *json.Decoder) ([]entry, error) {
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, cmp.Or(err, errForm)
	}
	var entries, operations []entry
	var apollo bool
	var format, version string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		name := token.(string) // a member's name
		switch value[0] {
		case '"':
			e := entry{id: name}
			if err := json.Unmarshal(value, &e.text); err != nil {
				return nil, err
			}
			if name == "format" {
				format = e.text
			}
			entries = append(entries, e)
		case '[':
			if operations, err = readOperations(value); name != "operations" || err != nil {
				return nil, cmp.Or(err, errForm)
			}
			apollo = true
		default:
			if version = string(value); name != "version" {
				return nil, fmt.Errorf("entry %q is no text: %w", truncate(name), errForm)
			}
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	switch {
	case !apollo && version == "":
		return entries, nil
	case apollo && format == apolloFormat && version == "1":
		return operations, nil
	}
	return nil, errForm
}

func readOperations(value json.RawMessage) ([]entry, error) {
	var listed []struct{ ID, Name, Body *string }
	if err := json.Unmarshal(value, &listed); err != nil {
		return nil, fmt.Errorf(`"operations": %w`, err)
	}
	var operations []entry
	for i, o := range listed {
		if o.ID == nil || o.Body == nil {
			return nil, fmt.Errorf(`operation %d of "operations" needs an "id" and a "body"`, i+1)
		}
		e := entry{id: *o.ID, text: *o.Body}
		if o.Name != nil {
			e.name = *o.Name
		}
		operations = append(operations, e)
	}
	return operations, nil
}
