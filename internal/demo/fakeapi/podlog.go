package fakeapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// timestampFormat is the kubelet's format of a line's time: always with nine digits of a second.
const timestampFormat = "2006-01-02T15:04:05.000000000Z07:00"

// podLog answers with a container's log. Its errors are worded as those of the API server and the kubelet.
func (s *Server) podLog(w http.ResponseWriter, r *request) error {
	options, err := parseLogOptions(r.URL.Query())
	if err != nil {
		return err
	}
	obj, err := s.store.get(pods, r.key)
	if err != nil {
		return err
	}
	pod := obj.(*corev1.Pod)
	if err := chooseContainer(pod, options); err != nil {
		return err
	}
	if pod.Spec.NodeName == "" {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	id, err := chooseRun(pod, options)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	log := s.podLogs.get(id)
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	if log == nil {
		return nil
	}
	out := &logWriter{response: w, options: options, startsLine: true}
	next := 0
	if options.TailLines != nil {
		next = log.tail(*options.TailLines)
	}
	for {
		entries, following, changed := log.after(next)
		next = following
		if !out.write(entries) || changed == nil || !options.Follow {
			return nil
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return nil
		}
	}
}

func parseLogOptions(query url.Values) (*corev1.PodLogOptions, error) {
	options := &corev1.PodLogOptions{Container: query.Get("container")}
	var errs []string
	boolean := func(name string) bool {
		v, err := strconv.ParseBool(query.Get(name))
		if err != nil && query.Has(name) {
			errs = append(errs, fmt.Sprintf("%s: %q is not a boolean", name, query.Get(name)))
		}
		return v
	}
	number := func(name string, least int64) *int64 {
		if !query.Has(name) {
			return nil
		}
		v, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil || v < least {
			errs = append(errs, fmt.Sprintf("%s: Invalid value: %q: must be greater than or equal to %d",
				name, query.Get(name), least))
		}
		return &v
	}
	options.Follow, options.Previous, options.Timestamps = boolean("follow"), boolean("previous"), boolean("timestamps")
	options.TailLines, options.LimitBytes, options.SinceSeconds =
		number("tailLines", 0), number("limitBytes", 1), number("sinceSeconds", 1)
	if query.Has("sinceTime") {
		since, err := time.Parse(time.RFC3339, query.Get("sinceTime"))
		if err != nil {
			errs = append(errs, "sinceTime: "+err.Error())
		}
		// A metav1.Time is sent to a kubelet in whole seconds.
		options.SinceTime = &metav1.Time{Time: since.Truncate(time.Second)}
	}
	if options.SinceTime != nil && options.SinceSeconds != nil {
		errs = append(errs, "sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified")
	}
	if options.SinceSeconds != nil && len(errs) == 0 {
		options.SinceTime = &metav1.Time{Time: time.Now().Add(-time.Duration(*options.SinceSeconds) * time.Second)}
	}
	if len(errs) > 0 {
		return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", pods.group(), "",
			strings.Join(errs, "; "), 0, true)
	}
	return options, nil
}

// chooseContainer checks the container in options. Without one it chooses the pod's only container.
func chooseContainer(pod *corev1.Pod, options *corev1.PodLogOptions) error {
	names, inits := containerNames(pod.Spec.Containers), containerNames(pod.Spec.InitContainers)
	switch {
	case options.Container == "" && len(names) == 1:
		options.Container = names[0]
	case options.Container == "":
		message := fmt.Sprintf("a container name must be specified for pod %s, choose one of: [%s]",
			pod.Name, strings.Join(names, " "))
		if len(inits) > 0 {
			message += fmt.Sprintf(" or one of the init containers: [%s]", strings.Join(inits, " "))
		}
		return apierrors.NewBadRequest(message)
	case !slices.Contains(names, options.Container) && !slices.Contains(inits, options.Container):
		return apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", options.Container, pod.Name))
	}
	return nil
}

func containerNames(containers []corev1.Container) []string {
	names := make([]string, len(containers))
	for i, c := range containers {
		names[i] = c.Name
	}
	return names
}

// chooseRun returns the ID of the run whose log a kubelet serves.
func chooseRun(pod *corev1.Pod, options *corev1.PodLogOptions) (string, error) {
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	i := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == options.Container })
	if i < 0 {
		return "", fmt.Errorf("container %q in pod %q is not available", options.Container, pod.Name)
	}
	state, last := statuses[i].State, statuses[i].LastTerminationState.Terminated
	waiting := func(why string) error {
		return fmt.Errorf("container %q in pod %q is waiting to start: %s", options.Container, pod.Name, why)
	}
	switch {
	case options.Previous && (last == nil || last.ContainerID == ""):
		return "", fmt.Errorf("previous terminated container %q in pod %q not found", options.Container, pod.Name)
	case options.Previous:
		return last.ContainerID, nil
	case state.Running != nil:
		return statuses[i].ContainerID, nil
	case state.Terminated != nil && state.Terminated.ContainerID != "":
		return state.Terminated.ContainerID, nil
	case last != nil && last.ContainerID != "":
		return last.ContainerID, nil
	case state.Waiting == nil:
		return "", fmt.Errorf("container %q in pod %q is waiting to start - no logs yet", options.Container, pod.Name)
	case state.Waiting.Reason == "ErrImagePull":
		return "", waiting("image can't be pulled")
	case state.Waiting.Reason == "ImagePullBackOff":
		return "", waiting("trying and failing to pull image")
	}
	return "", waiting(state.Waiting.Reason)
}

// logWriter writes a log to a client, as options ask.
type logWriter struct {
	response   http.ResponseWriter
	options    *corev1.PodLogOptions
	startsLine bool
	written    int64
	buffer     []byte
}

// write sends entries. It reports whether the client wants more.
func (w *logWriter) write(entries []entry) bool {
	w.buffer = w.buffer[:0]
	for _, e := range entries {
		if since := w.options.SinceTime; since != nil && e.time.Before(since.Time) {
			continue
		}
		if w.options.Timestamps && w.startsLine {
			w.buffer = append(e.time.UTC().AppendFormat(w.buffer, timestampFormat), ' ')
		}
		w.buffer = append(w.buffer, e.text...)
		w.startsLine = endsLine(e.text)
	}
	limited := false
	if limit := w.options.LimitBytes; limit != nil && w.written+int64(len(w.buffer)) >= *limit {
		w.buffer, limited = w.buffer[:*limit-w.written], true
	}
	if len(w.buffer) == 0 {
		return !limited
	}
	n, err := w.response.Write(w.buffer)
	w.written += int64(n)
	if err != nil || http.NewResponseController(w.response).Flush() != nil {
		return false
	}
	return !limited
}
