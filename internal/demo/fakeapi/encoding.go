package fakeapi

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// maxBody is the largest request body in bytes, as in the real API server.
const maxBody = 3 << 20

// encoding is a format for objects in requests and responses.
type encoding struct {
	runtime.SerializerInfo
	// index is the encoding's place in arrays of encodingCount.
	index int
	// watchType is the content type of a watch.
	watchType string
}

const encodingCount = 2

var encodings = [encodingCount]*encoding{
	mustEncoding(0, runtime.ContentTypeJSON, ""),
	mustEncoding(1, runtime.ContentTypeProtobuf, ";stream=watch"),
}

func mustEncoding(index int, mediaType, watchSuffix string) *encoding {
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	if !ok || info.StreamSerializer == nil {
		panic("no serializer for " + mediaType)
	}
	return &encoding{SerializerInfo: info, index: index, watchType: mediaType + watchSuffix}
}

// accepted returns the first encoding that the client accepts. It ignores representations other than the object itself, such
// as tables.
func accepted(r *http.Request) (*encoding, error) {
	accept := r.Header.Get("Accept")
	if accept == "" {
		return encodings[0], nil
	}
	for clause := range strings.SplitSeq(accept, ",") {
		mediaType, params, err := mime.ParseMediaType(clause)
		if err != nil || params["as"] != "" {
			continue
		}
		if mediaType == "*/*" || mediaType == "application/*" {
			return encodings[0], nil
		}
		if e := encodingOf(mediaType); e != nil {
			return e, nil
		}
	}
	return nil, apierrors.NewGenericServerResponse(http.StatusNotAcceptable, r.Method, schema.GroupResource{}, "",
		"only the following media types are accepted: application/json, application/vnd.kubernetes.protobuf", 0, false)
}

func encodingOf(mediaType string) *encoding {
	for _, e := range encodings {
		if e.MediaType == mediaType {
			return e
		}
	}
	return nil
}

// readBody decodes a request's body into an object of the kind gvk.
func readBody(r *http.Request, gvk schema.GroupVersionKind, into runtime.Object) error {
	data, err := readAll(r)
	if err != nil {
		return err
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		mediaType = runtime.ContentTypeJSON
	}
	e := encodingOf(mediaType)
	if e == nil {
		return unsupportedMediaType(r.Method, mediaType)
	}
	got, _, err := e.Serializer.Decode(data, &gvk, into)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if got != into {
		return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized: expected kind %s", gvk.Kind))
	}
	return nil
}

func readAll(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if len(data) > maxBody {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	return data, nil
}

func unsupportedMediaType(verb, mediaType string) error {
	return apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, verb, schema.GroupResource{}, "",
		fmt.Sprintf("the body of the request was in an unknown format: %s", mediaType), 0, false)
}

// writeObject answers with obj. Its kind and API version must be set.
func writeObject(w http.ResponseWriter, e *encoding, code int, obj runtime.Object) {
	var buffer bytes.Buffer
	if err := e.Serializer.Encode(obj, &buffer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", e.MediaType)
	w.WriteHeader(code)
	_, _ = w.Write(buffer.Bytes()) // a client that is gone needs no answer
}

// writeError answers with the metav1.Status of err.
func writeError(w http.ResponseWriter, e *encoding, err error) {
	status := statusOf(err)
	writeObject(w, e, int(status.Code), status)
}

func statusOf(err error) *metav1.Status {
	var status metav1.Status
	if s, ok := err.(apierrors.APIStatus); ok {
		status = s.Status()
	} else {
		status = apierrors.NewInternalError(err).Status()
	}
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	return &status
}

// frame encodes one event of a watch.
func (e *encoding) frame(kind watch.EventType, obj runtime.Object) ([]byte, error) {
	var inner, outer bytes.Buffer
	if err := e.Serializer.Encode(obj, &inner); err != nil {
		return nil, err
	}
	event := &metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: inner.Bytes()}}
	err := e.StreamSerializer.Serializer.Encode(event, e.StreamSerializer.Framer.NewFrameWriter(&outer))
	return outer.Bytes(), err
}
