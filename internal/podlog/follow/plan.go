package follow

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/filter"
	"pullwatch/internal/usererr"
)

// plan is a validated Input.
type plan struct {
	target podlog.Target
	// caller is the key of the per-client limits.
	caller string
	// container is the name of the wanted containers; empty for all.
	container string
	// containers matches the names of the wanted containers; nil for all.
	containers       *nameMatcher
	tail             *int
	maxLineBytes     int
	since            time.Time
	follow, previous bool
	include, exclude *filter.Expression
	// digest is Cursor.Target.
	digest uint64
	// after is the cursor to resume from; nil when the stream begins anew.
	after *cursor.Cursor
}

func newPlan(in podlog.Input) (*plan, error) {
	p := &plan{
		target:   podlog.Target{Namespace: in.Namespace},
		caller:   in.Caller,
		follow:   in.Follow && !in.Previous,
		previous: in.Previous,
		tail:     in.TailLines,

		maxLineBytes: podlog.DefaultLineBytes,
	}
	if in.Since != nil {
		p.since = *in.Since
	}
	if err := p.setTarget(in); err != nil {
		return nil, err
	}
	if in.Container != nil {
		p.container = *in.Container
		if err := checkLabel("container", p.container); err != nil {
			return nil, err
		}
	}
	if err := p.setContainers(in); err != nil {
		return nil, err
	}
	if n := in.TailLines; n != nil && (*n < 0 || *n > podlog.MaxTailLines) {
		return nil, usererr.New(usererr.BadInput, "tailLines is %d; it must be 0 to %d", *n, podlog.MaxTailLines)
	}
	if n := in.MaxLineBytes; n != nil {
		if *n < 1 || *n > podlog.MaxLineBytes {
			return nil, usererr.New(usererr.BadInput, "maxLineBytes is %d; it must be 1 to %d", *n, podlog.MaxLineBytes)
		}
		p.maxLineBytes = *n
	}
	var err error
	if p.include, err = filter.Compile("include", in.Include); err != nil {
		return nil, err
	}
	if p.exclude, err = filter.Compile("exclude", in.Exclude); err != nil {
		return nil, err
	}
	t := p.target
	parts := []string{t.Namespace, t.Pod, t.Job, t.Selector, p.container, strconv.FormatBool(p.previous)}
	if p.containers != nil {
		parts = append(parts, p.containers.text)
	}
	if t.Workload.Kind != "" {
		parts = append(parts, "workload", t.Workload.Kind, t.Workload.Name)
	}
	p.digest = cursor.Digest(parts...)
	if in.After != nil && *in.After != "" { // a form sends an empty field when nothing was entered
		p.after, err = cursor.Decode(*in.After, p.digest)
	}
	return p, err
}

func (p *plan) setTarget(in podlog.Input) error {
	if err := checkLabel("namespace", in.Namespace); err != nil {
		return err
	}
	given := 0
	for _, s := range []*string{in.Pod, in.Job, in.Workload, in.Selector} {
		if s != nil {
			given++
		}
	}
	if given != 1 {
		return usererr.New(usererr.BadInput, "exactly one of pod, job, workload and selector must be given, not %d of them", given)
	}
	switch {
	case in.Pod != nil:
		p.target.Pod = *in.Pod
		return checkName("pod", *in.Pod)
	case in.Job != nil:
		p.target.Job = *in.Job
		return checkName("job", *in.Job)
	case in.Workload != nil:
		return p.setWorkload(*in.Workload)
	default:
		p.target.Selector = *in.Selector
		if strings.TrimSpace(*in.Selector) == "" {
			return usererr.New(usererr.BadInput, "selector is empty; give a label selector such as app=api,tier!=db")
		}
		return nil
	}
}

func (p *plan) setWorkload(text string) error {
	kind, name, _ := strings.Cut(text, "/")
	kinds := []string{podlog.Deployment, podlog.StatefulSet, podlog.DaemonSet, podlog.CronJob}
	if !slices.Contains(kinds, kind) {
		return usererr.New(usererr.BadInput, "workload is %.80q; expected something like deployment/web, with one of %s", text,
			strings.Join(kinds, ", "))
	}
	p.target.Workload = podlog.Workload{Kind: kind, Name: name}
	return checkName("workload", name)
}

// leftTarget says, for people, why a pod that exists is not of the target any more.
func (p *plan) leftTarget() string {
	if p.target.Job != "" {
		return "its pod does not belong to job " + p.target.Job + " any more"
	}
	if p.target.Workload.Kind != "" {
		return "its pod does not belong to " + p.target.Workload.String() + " any more"
	}
	return "its pod does not match " + p.target.Selector + " any more"
}

func (p *plan) setContainers(in podlog.Input) (err error) {
	if in.Containers == nil || *in.Containers == "" { // a form sends an empty field when nothing was entered
		return nil
	}
	if in.Container != nil {
		return usererr.New(usererr.BadInput, "container and containers are given; give only one of them")
	}
	p.containers, err = newNameMatcher(*in.Containers)
	return err
}

// wants reports whether the stream takes in containers of this name. It is called by one goroutine at a time.
func (p *plan) wants(container string) bool {
	return (p.container == "" || p.container == container) && p.containers.matches(container)
}

// wanted says, for people, which containers the stream takes in.
func (p *plan) wanted() string {
	if p.containers != nil {
		return "that matches " + p.containers.text
	}
	return p.container
}

// The forms of Kubernetes names: RFC 1123 labels and subdomains.
var (
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

func checkLabel(field, name string) error {
	if len(name) > 63 || !label.MatchString(name) {
		return usererr.New(usererr.BadInput,
			"%s %.80q is not a name that Kubernetes allows: 1 to 63 lower case letters, digits and '-' between them",
			field, name)
	}
	return nil
}

func checkName(field, name string) error {
	if len(name) > 253 || !subdomain.MatchString(name) {
		return usererr.New(usererr.BadInput,
			"%s %.80q is not a name that Kubernetes allows: 1 to 253 lower case letters, digits, '-' and '.' between them",
			field, name)
	}
	return nil
}
