package fakeapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

func (s *Server) route() {
	for _, res := range resources {
		all := res.path() + "/" + res.plural
		collection := res.path() + "/namespaces/{namespace}/" + res.plural
		object := collection + "/{name}"
		s.handle("GET "+all, res, s.listOrWatch)
		s.handle("GET "+collection, res, s.listOrWatch)
		s.handle("POST "+collection, res, s.create)
		s.handle("GET "+object, res, s.get)
		s.handle("PUT "+object, res, s.update)
		s.handle("PATCH "+object, res, s.patch)
		s.handle("DELETE "+object, res, s.delete)
		if res.hasStatus {
			s.handle("GET "+object+"/status", res, s.get)
			s.handle("PUT "+object+"/status", res, s.updateStatus)
			s.handle("PATCH "+object+"/status", res, s.patchStatus)
		}
	}
	s.handle("GET /api/v1/namespaces/{namespace}/pods/{name}/log", pods, s.podLog)
	s.mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeJSON)
		_ = json.NewEncoder(w).Encode(version.Info{Major: "1", Minor: "36", GitVersion: "v1.36.3"})
	})
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, encodings[0], apierrors.NewGenericServerResponse(
			http.StatusNotFound, r.Method, schema.GroupResource{}, "", "", 0, false))
	})
}

// request is what all handlers need to know of a request.
type request struct {
	*http.Request
	res *resource
	enc *encoding
	key key
}

// dryRun reports whether the client asks to store nothing.
func (r *request) dryRun() bool { return r.URL.Query().Has("dryRun") }

// handle routes requests for pattern to h, and answers with h's error. A handler that has begun to answer returns nil.
func (s *Server) handle(pattern string, res *resource, h func(http.ResponseWriter, *request) error) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		enc, err := accepted(r)
		if err != nil {
			writeError(w, encodings[0], err)
			return
		}
		k := key{r.PathValue("namespace"), r.PathValue("name")}
		if err := h(w, &request{Request: r, res: res, enc: enc, key: k}); err != nil {
			writeError(w, enc, err)
		}
	})
}

func (s *Server) get(w http.ResponseWriter, r *request) error {
	obj, err := s.store.get(r.res, r.key)
	if err != nil {
		return err
	}
	writeObject(w, r.enc, http.StatusOK, obj)
	return nil
}

func (s *Server) listOrWatch(w http.ResponseWriter, r *request) error {
	query := r.URL.Query()
	var options metav1.ListOptions
	if err := metav1.Convert_url_Values_To_v1_ListOptions(&query, &options, nil); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	match, err := r.res.selector(&options)
	if err != nil {
		return err
	}
	if options.Watch {
		return s.watch(w, r, &options, match)
	}
	objects, version, err := s.list(r, &options, match)
	if err != nil {
		return err
	}
	writeObject(w, r.enc, http.StatusOK, r.res.list(objects, version))
	return nil
}

// list returns the objects that match, as of now or as of the exact version that options ask for.
func (s *Server) list(r *request, options *metav1.ListOptions, match func(Object) bool) ([]Object, uint64, error) {
	if options.ResourceVersionMatch != metav1.ResourceVersionMatchExact {
		objects, version := s.store.list(r.res, r.key.namespace, match)
		return objects, version, nil
	}
	version, err := parseVersion(options.ResourceVersion)
	if err != nil {
		return nil, 0, err
	}
	if version == 0 {
		return nil, 0, apierrors.NewBadRequest("resourceVersionMatch Exact is forbidden without a resourceVersion")
	}
	objects, err := s.store.listAt(r.res, r.key.namespace, match, version)
	return objects, version, err
}

// selector returns the label and field selectors of options.
func (res *resource) selector(options *metav1.ListOptions) (func(Object) bool, error) {
	byLabel, err := labels.Parse(options.LabelSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	byField, err := fields.ParseSelector(options.FieldSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	known := res.fieldSet(res.new())
	for _, requirement := range byField.Requirements() {
		if !known.Has(requirement.Field) {
			return nil, apierrors.NewBadRequest("field label not supported: " + requirement.Field)
		}
	}
	return func(obj Object) bool {
		return byLabel.Matches(labels.Set(obj.GetLabels())) && (byField.Empty() || byField.Matches(res.fieldSet(obj)))
	}, nil
}

func (s *Server) create(w http.ResponseWriter, r *request) error {
	obj := r.res.new()
	if err := readBody(r.Request, r.res.kind, obj); err != nil {
		return err
	}
	if obj.GetResourceVersion() != "" {
		return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if err := r.setNamespace(obj); err != nil {
		return err
	}
	created, err := s.store.create(r.res, obj, r.dryRun())
	if err != nil {
		return err
	}
	writeObject(w, r.enc, http.StatusCreated, created)
	return nil
}

// setNamespace gives obj the namespace of the request.
func (r *request) setNamespace(obj Object) error {
	if obj.GetNamespace() != "" && obj.GetNamespace() != r.key.namespace {
		return apierrors.NewBadRequest(
			"the namespace of the provided object does not match the namespace sent on the request")
	}
	obj.SetNamespace(r.key.namespace)
	return nil
}

func (s *Server) update(w http.ResponseWriter, r *request) error       { return s.put(w, r, false) }
func (s *Server) updateStatus(w http.ResponseWriter, r *request) error { return s.put(w, r, true) }

func (s *Server) put(w http.ResponseWriter, r *request, status bool) error {
	obj := r.res.new()
	if err := readBody(r.Request, r.res.kind, obj); err != nil {
		return err
	}
	if err := r.setNamespace(obj); err != nil {
		return err
	}
	updated, err := s.store.update(r.res, r.key, status, r.dryRun(), func(Object) (Object, error) { return obj, nil })
	if err != nil {
		return err
	}
	writeObject(w, r.enc, http.StatusOK, updated)
	return nil
}

func (s *Server) delete(w http.ResponseWriter, r *request) error {
	var options metav1.DeleteOptions
	if r.ContentLength != 0 { // a client may send no options
		if err := readBody(r.Request, r.res.kind.GroupVersion().WithKind("DeleteOptions"), &options); err != nil {
			return err
		}
	}
	obj, err := s.store.delete(r.res, r.key, &options)
	if err != nil {
		return err
	}
	if len(obj.GetFinalizers()) > 0 {
		writeObject(w, r.enc, http.StatusOK, obj)
		return nil
	}
	writeObject(w, r.enc, http.StatusOK, &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: obj.GetName(), Group: r.res.kind.Group, Kind: r.res.plural, UID: obj.GetUID()},
	})
	return nil
}

func parseVersion(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest("invalid resource version: " + s)
	}
	return v, nil
}
