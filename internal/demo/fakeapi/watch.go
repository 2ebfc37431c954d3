package fakeapi

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// bookmarkInterval is how often a quiet watch gets a bookmark, if it asks for them.
const bookmarkInterval = time.Minute

// maxUnsent is how many bytes of events are collected before they are sent.
const maxUnsent = 256 << 10

// watcher is one open watch.
type watcher struct {
	server    *Server
	request   *request
	match     func(Object) bool
	bookmarks bool
	// version is the one that the client has reached.
	version uint64

	response http.ResponseWriter
	buffer   bytes.Buffer
}

// watch answers with events until the client leaves, its timeout passes, or events that it needs were dropped.
func (s *Server) watch(w http.ResponseWriter, r *request, options *metav1.ListOptions, match func(Object) bool) error {
	version, err := parseVersion(options.ResourceVersion)
	if err != nil {
		return err
	}
	watcher := &watcher{
		server: s, request: r, match: match, bookmarks: options.AllowWatchBookmarks, version: version, response: w,
	}
	streamList := options.SendInitialEvents != nil && *options.SendInitialEvents
	addInitial := streamList || options.SendInitialEvents == nil && version == 0
	if !addInitial {
		if version == 0 {
			watcher.version = s.store.current()
		}
		if _, _, _, err := s.store.eventsAfter(r.res, watcher.version); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", r.enc.watchType)
	w.WriteHeader(http.StatusOK)
	if addInitial && watcher.addInitial(streamList && watcher.bookmarks) != nil {
		return nil
	}
	var timeout <-chan time.Time
	if options.TimeoutSeconds != nil && *options.TimeoutSeconds > 0 {
		timer := time.NewTimer(time.Duration(*options.TimeoutSeconds) * time.Second)
		defer timer.Stop()
		timeout = timer.C
	}
	watcher.run(timeout)
	return nil
}

// run sends events as they happen.
func (w *watcher) run(timeout <-chan time.Time) {
	bookmark := time.NewTicker(bookmarkInterval)
	defer bookmark.Stop()
	for {
		events, version, changed, err := w.server.store.eventsAfter(w.request.res, w.version)
		if err != nil {
			// The client has missed dropped events. It gets the error of a client that resumes too late.
			_ = w.add(watch.Error, statusOf(err))
			_ = w.send()
			return
		}
		for _, e := range events {
			if err := w.addEvent(e); err != nil {
				return
			}
		}
		w.version = version
		if err := w.send(); err != nil {
			return
		}
		select {
		case <-changed:
		case <-bookmark.C:
			if w.bookmarks && w.addBookmark(nil) != nil {
				return
			}
		case <-timeout:
			return
		case <-w.request.Context().Done():
			return
		}
	}
}

// addInitial adds the current objects. If end is set it adds the bookmark that ends them.
func (w *watcher) addInitial(end bool) error {
	objects, version := w.server.store.list(w.request.res, w.request.key.namespace, w.match)
	w.version = version
	for _, obj := range objects {
		if err := w.add(watch.Added, obj); err != nil {
			return err
		}
	}
	if !end {
		return nil
	}
	return w.addBookmark(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
}

func (w *watcher) addBookmark(annotations map[string]string) error {
	obj := w.request.res.new()
	obj.GetObjectKind().SetGroupVersionKind(w.request.res.kind)
	obj.SetResourceVersion(strconv.FormatUint(w.version, 10))
	obj.SetAnnotations(annotations)
	return w.add(watch.Bookmark, obj)
}

// addEvent adds what an event means to a watcher of the objects that match. An object that begins to match is added, and one
// that no longer matches is deleted.
func (w *watcher) addEvent(e *event) error {
	if ns := w.request.key.namespace; ns != "" && ns != e.object.GetNamespace() {
		return nil
	}
	was := e.previous != nil && w.match(e.previous)
	is := e.kind != watch.Deleted && w.match(e.object)
	switch {
	case !was && !is:
		return nil
	case !was && e.kind == watch.Modified:
		return w.add(watch.Added, e.object)
	case !is && e.kind == watch.Modified:
		gone := e.previous.DeepCopyObject().(Object)
		gone.SetResourceVersion(e.object.GetResourceVersion())
		return w.add(watch.Deleted, gone)
	}
	frame, err := e.frame(w.request.enc)
	return w.addFrame(frame, err)
}

func (w *watcher) add(kind watch.EventType, obj runtime.Object) error {
	frame, err := w.request.enc.frame(kind, obj)
	return w.addFrame(frame, err)
}

func (w *watcher) addFrame(frame []byte, err error) error {
	if err != nil {
		return err
	}
	w.buffer.Write(frame)
	if w.buffer.Len() < maxUnsent {
		return nil
	}
	return w.send()
}

// send sends what was added since the last call.
func (w *watcher) send() error {
	if w.buffer.Len() == 0 {
		return nil
	}
	if _, err := w.response.Write(w.buffer.Bytes()); err != nil {
		return err
	}
	w.buffer.Reset()
	return http.NewResponseController(w.response).Flush()
}
