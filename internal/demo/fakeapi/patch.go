package fakeapi

import (
	"encoding/json"
	"mime"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

func (s *Server) patch(w http.ResponseWriter, r *request) error { return s.applyPatch(w, r, false) }
func (s *Server) patchStatus(w http.ResponseWriter, r *request) error {
	return s.applyPatch(w, r, true)
}

func (s *Server) applyPatch(w http.ResponseWriter, r *request, status bool) error {
	patch, err := readAll(r.Request)
	if err != nil {
		return err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return unsupportedMediaType(r.Method, r.Header.Get("Content-Type"))
	}
	obj, err := s.store.update(r.res, r.key, status, r.dryRun(), func(old Object) (Object, error) {
		return r.res.patched(old, types.PatchType(kind), patch)
	})
	if err != nil {
		return err
	}
	writeObject(w, r.enc, http.StatusOK, obj)
	return nil
}

// patched applies a patch to old and returns a new object.
func (res *resource) patched(old Object, kind types.PatchType, patch []byte) (Object, error) {
	before, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	var after []byte
	switch kind {
	case types.JSONPatchType:
		operations, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		if after, err = operations.Apply(before); err != nil {
			return nil, apierrors.NewGenericServerResponse(
				http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
		}
	case types.MergePatchType:
		after, err = jsonpatch.MergePatch(before, patch)
	case types.StrategicMergePatchType:
		after, err = strategicpatch.StrategicMergePatch(before, patch, res.new())
	default:
		return nil, unsupportedMediaType(http.MethodPatch, string(kind))
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	obj := res.new()
	if err := json.Unmarshal(after, obj); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return obj, nil
}
