// Package reload keeps what the server has read from files, such as its certificate, and reads the files again when they change.
package reload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Interval is how often Get looks whether the files have changed.
const Interval = time.Second

// Options say what is read. All are required.
type Options[T any] struct {
	// Names are the files.
	Names []string
	// MaxBytes is how long each file may be.
	MaxBytes int64
	// Parse returns the value of what the files hold, in the order of Names. Its errors name the files.
	Parse func(contents [][]byte) (*T, error)
	// Replaced is called when changed files have a new value. Failed is called when they have none: once for each error that
	// differs from the one before, with the value that stays. Both are called by the goroutine that has read the files.
	Replaced func(value *T)
	Failed   func(err error, former *T)
}

// Files are files and the value that they had last. While they have none, the former value stays. Any number of goroutines may
// use Files.
//
// The files are read, not watched: that finds a change however it is made, also by swapped symbolic links, as the kubelet
// does.
type Files[T any] struct {
	options Options[T]
	current atomic.Pointer[T]
	// nextCheck is when the next Get reads the files, in nanoseconds since 1970.
	nextCheck atomic.Int64

	mu sync.Mutex // while the files are read
	// contents are what the files held when they were read last. failure is the error of that reading, empty for none.
	contents [][]byte
	failure  string
}

// Load reads the files. It returns an error if they have no value.
func Load[T any](o Options[T]) (*Files[T], error) {
	f := &Files[T]{options: o}
	value, err := f.readLocked() // nobody else has f yet
	if err != nil {
		return nil, err
	}
	f.current.Store(value)
	f.nextCheck.Store(time.Now().Add(Interval).UnixNano())
	return f, nil
}

// Get returns the value. If the files have not been read for Interval, it reads them first. Meanwhile others get the former
// value.
func (f *Files[T]) Get() *T {
	if time.Now().UnixNano() >= f.nextCheck.Load() && f.mu.TryLock() {
		defer f.mu.Unlock()
		f.reloadLocked()
	}
	return f.current.Load()
}

// Reload reads the files now.
func (f *Files[T]) Reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reloadLocked()
}

func (f *Files[T]) reloadLocked() {
	value, err := f.readLocked()
	f.nextCheck.Store(time.Now().Add(Interval).UnixNano())
	switch {
	case err != nil:
		if f.failure != err.Error() {
			f.options.Failed(err, f.current.Load())
		}
		f.failure = err.Error()
	case value != nil:
		f.failure = ""
		f.current.Store(value)
		f.options.Replaced(value)
	}
}

// readLocked reads the files. It returns nil if they have not changed since they were read last.
func (f *Files[T]) readLocked() (*T, error) {
	contents := make([][]byte, len(f.options.Names))
	errs := make([]error, len(contents))
	for i, name := range f.options.Names {
		contents[i], errs[i] = read(name, f.options.MaxBytes)
	}
	unchanged := f.contents != nil && slices.EqualFunc(contents, f.contents, bytes.Equal)
	f.contents = contents
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if unchanged {
		return nil, nil
	}
	return f.options.Parse(contents)
}

func read(name string, longest int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, longest+1))
	if err == nil && int64(len(content)) > longest {
		err = fmt.Errorf("%s: the file is longer than %d bytes", name, longest)
	}
	return content, err
}
