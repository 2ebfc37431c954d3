package e2e

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/e2e/harness"
)

const (
	loadClients  = 100
	loadInterval = time.Second
	loadTime     = 30 * time.Second
	loadPulls    = 50
	// loadNoise is by how many requests, or watches, two runs of the same load may differ: others use the API server, too. A
	// replica that watches for itself has two watches.
	loadNoise = 2
)

// Dashboards poll one replica, and then several. The API server's own metrics say what each costs it.
func TestMoreReplicasCostTheAPIServerNoMore(t *testing.T) {
	sizes := []int{1, 5}
	var costs []apiCost
	for _, size := range sizes {
		t.Run(fmt.Sprintf("%d replicas", size), func(t *testing.T) { costs = append(costs, loadReplicas(t, size)) })
	}
	if t.Failed() {
		return
	}
	one, many := costs[0], costs[1]
	if many.watches > one.watches+loadNoise {
		t.Errorf("%v watches are open with %d replicas and %v with %d", one.watches, sizes[0], many.watches, sizes[1])
	}
	if many.lists() > one.lists()+loadNoise {
		t.Errorf("%d lists and watches were asked for with %d replicas and %d with %d",
			one.lists(), sizes[0], many.lists(), sizes[1])
	}
	printCosts(t, sizes, costs)
}

// apiCost has the requests that the API server counted during a load.
type apiCost struct {
	// watches is how many more watches of Jobs and pods are open at the end than before the replicas started.
	watches int
	// requests are counted by verb and resource.
	requests map[string]int
	answers  int
	took     []time.Duration
}

// lists returns how many lists and watches of Jobs and pods were begun.
func (c apiCost) lists() int {
	n := 0
	for _, what := range loadRequests[:4] {
		n += c.requests[what]
	}
	return n
}

// loadRequests are the requests that replicas could cause, the lists and watches first.
var loadRequests = []string{"LIST jobs", "WATCH jobs", "LIST pods", "WATCH pods", "GET jobs", "GET leases", "PUT leases"}

func loadReplicas(t *testing.T, size int) apiCost {
	t.Helper()
	redis := startRedis(t)
	namespace := newNamespace(t)
	keepFromController(t, env.Client, namespace)
	awaitNoLeavings(t)
	idle := readAPIMetrics(t)
	g := startGroup(t, namespace, size, redis.Addr, "", "--max-parallel=1000")
	g.start(t, imageNames("load", loadPulls))
	eventually(t, "all pulls have left the queue", func() bool {
		active := g.replicas[0].activePulls(t)
		return len(active) == loadPulls && !slices.ContainsFunc(active, func(p pullJob) bool { return p.is("QUEUED") })
	})

	before := readAPIMetrics(t)
	took := g.pollAsDashboards(t)
	after := readAPIMetrics(t)
	cost := apiCost{watches: after.watches - idle.watches, requests: map[string]int{}, took: took, answers: len(took)}
	for _, what := range loadRequests {
		cost.requests[what] = after.requests[what] - before.requests[what]
	}
	return cost
}

// awaitNoLeavings waits until the namespaces of earlier tests are gone: Kubernetes deletes them with requests like those of
// replicas.
func awaitNoLeavings(t *testing.T) {
	t.Helper()
	eventually(t, "the namespaces that were deleted are gone", func() bool {
		namespaces, err := env.Client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(namespaces.Items, func(ns corev1.Namespace) bool {
			return ns.DeletionTimestamp != nil && strings.HasPrefix(ns.Name, harness.NamespacePrefix)
		})
	})
}

// pollAsDashboards has clients query the lists once a second each, spread over the replicas and over the second, and
// returns how long the answers took.
func (g *group) pollAsDashboards(t *testing.T) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), loadTime)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: loadClients}}
	defer client.CloseIdleConnections()
	const query = `{ activePulls { ` + pullFields + ` } failedPulls { ` + pullFields + ` } }`
	took := make([][]time.Duration, loadClients)
	var polling sync.WaitGroup
	for i := range loadClients {
		r := g.replicas[i%len(g.replicas)]
		polling.Go(func() {
			next := time.NewTimer(time.Duration(i) * loadInterval / loadClients)
			defer next.Stop()
			for {
				select {
				case <-next.C:
				case <-ctx.Done():
					return
				}
				next.Reset(loadInterval)
				began := time.Now()
				answer, err := r.RespondTo(context.WithoutCancel(ctx), client, query, nil)
				if err != nil || len(answer.Errors) > 0 {
					t.Errorf("a dashboard got %v, %v", err, answer.Errors)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	polling.Wait()
	var all []time.Duration
	for _, one := range took {
		all = append(all, one...)
	}
	return all
}

type apiMetrics struct {
	watches  int
	requests map[string]int
}

var (
	metricLabel = regexp.MustCompile(`(\w+)="([^"]*)"`)
	loadMetrics = map[string]bool{"apiserver_request_total": true, "apiserver_longrunning_requests": true}
)

// readAPIMetrics returns the API server's counts for Jobs, pods and Leases. It leaves out requests about the whole cluster: those
// are from Kubernetes itself.
func readAPIMetrics(t *testing.T) apiMetrics {
	t.Helper()
	text, err := env.Client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := apiMetrics{requests: map[string]int{}}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, "{")
		if !loadMetrics[name] {
			continue
		}
		text, number, _ := strings.Cut(rest, "} ")
		labels := map[string]string{}
		for _, label := range metricLabel.FindAllStringSubmatch(text, -1) {
			labels[label[1]] = label[2]
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		resource, verb := labels["resource"], labels["verb"]
		switch {
		case labels["subresource"] != "" || labels["scope"] == "cluster":
		case name == "apiserver_request_total":
			m.requests[verb+" "+resource] += int(value)
		case verb == "WATCH" && (resource == "jobs" || resource == "pods"):
			m.watches += int(value)
		}
	}
	return m
}

func printCosts(t *testing.T, sizes []int, costs []apiCost) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(what string, value func(apiCost) any) {
		fmt.Fprint(table, what)
		for _, c := range costs {
			fmt.Fprintf(table, "\t%v", value(c))
		}
		fmt.Fprintln(table)
	}
	fmt.Fprintf(table, "%d clients, one query a second each, %s\t%d replica\t%d replicas\n",
		loadClients, loadTime, sizes[0], sizes[1])
	row("open watches of Jobs and pods", func(c apiCost) any { return c.watches })
	for _, what := range loadRequests {
		row(what, func(c apiCost) any { return c.requests[what] })
	}
	row("answers", func(c apiCost) any { return c.answers })
	for _, share := range []float64{.5, .95, .99} {
		row(fmt.Sprintf("p%.0f", 100*share), func(c apiCost) any { return percentile(c.took, share).Round(100 * time.Microsecond) })
	}
	table.Flush()
	t.Logf("what the API server was asked for:\n%s", text.String())
}
