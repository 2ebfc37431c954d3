// Package replica puts the parts of a pullwatch server together, runs them, and stops them in order.
//
// New makes the parts that answer: the Hub, the lists, the pulls, the pod logs. NewServer makes a server of GraphQL over HTTP on
// top of them. Run runs everything. The order in which it stops is in Run and nowhere else.
package replica

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
	"k8s.io/client-go/kubernetes"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/internal/feed/sharedlog"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/podlog/logshare"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/kube"
	"pullwatch/kube/podlogs"
	"pullwatch/resolvers"
)

// Options are what a Replica works with. All are required unless they say what their zero value means.
type Options struct {
	*Resources
	// Config is how to reach the cluster. New changes it: kube.Health observes the requests of its clients.
	Config *rest.Config
	// Redis is through which Redis replicas share lists and updates; nil for none.
	Redis *redisclient.Settings
	// Keys is the prefix of all keys in Redis: see redisclient.Keys.
	Keys string
	// Jobs is what the Jobs of all pulls have in common. The replica watches its Namespace.
	Jobs kube.JobSettings
	// Destination is where images are copied to unless a client names another destination; empty for none.
	Destination string
	// MaxParallel is how many pulls run at a time, MaxQueued how many may wait.
	MaxParallel, MaxQueued int
	// MaxLogStreams is how many streams of pod logs there may be, MaxCallerLogStreams how many of one caller. 0 means any number.
	MaxLogStreams, MaxCallerLogStreams int
}

// Replica is one of the servers that work on the pulls of a namespace. Its exported fields are the parts that answer requests.
type Replica struct {
	// Identity is a name that no other replica has. It begins with the host's name, for people.
	Identity string
	Hub      *feed.Hub
	Lists    *cache.Lists
	Pulls    *kube.Pulls
	Logs     *follow.Streamer

	resources *Resources
	updates   updates
	redis     *redisclient.Client // nil without Redis
	stream    *sharedlog.Stream   // nil without Redis
	watch     *kube.Watch
	copiers   *kube.CopierLogs
	leader    *kube.Leader
	ready     readiness
	queue     *queueView
}

// updates is where all parts of a replica publish and get the states of pulls: a feed.Hub, or with Redis the sharedlog.Stream that
// fills it.
type updates interface {
	kube.Feed
	kube.Known
	resolvers.Updates
}

// New makes a Replica that does nothing before Run. The caller closes it.
func New(o Options) (*Replica, error) {
	clients, err := newClients(o)
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(rand.Text()[:8])
	r := &Replica{Identity: identity(name), resources: o.Resources}
	role := &kube.Role{}
	r.ready.role = role

	r.Hub = feed.New(name)
	r.Hub.Register(o.Metrics)
	r.updates = r.Hub

	var commands, blocking redis.UniversalClient
	var succession kube.Succession
	if o.Redis != nil {
		r.redis = redisclient.New(o.Redis, o.Logger, o.Metrics)
		commands, blocking = r.redis.Commands(), r.redis.Stream()
		r.stream = sharedlog.New(sharedlog.Options{
			Hub: r.Hub, Redis: r.redis.Stream(), Keys: o.Keys, Logger: o.Logger,
			Leads: role.Leads, Watches: role.Watches, Proven: clients.health.Asked,
		})
		r.stream.Register(o.Metrics)
		r.updates, succession = r.stream, r.stream
	}

	tracker := kube.NewTracker(r.updates, o.Logger)
	r.watch = kube.NewWatch(clients.pulls, o.Jobs.Namespace, tracker, role, o.Logger)
	r.copiers = kube.NewCopierLogs(clients.pulls, tracker, o.Logger)
	r.leader = kube.NewLeader(kube.LeaderOptions{
		Client: clients.pulls, Leases: clients.leases, Namespace: o.Jobs.Namespace, Identity: r.Identity,
		MaxParallel: o.MaxParallel, Away: clients.health.Away, Watch: r.watch, Role: role, Succession: succession, Log: o.Logger,
	})
	kube.RegisterMetrics(o.Metrics, r.watch, role)

	r.Pulls, err = kube.NewPulls(kube.PullsOptions{
		Client: clients.pulls, Jobs: o.Jobs, Destination: o.Destination, MaxQueued: o.MaxQueued, Turns: o.Turns,
		Known: r.updates, Tracker: tracker, Role: role, Health: clients.health, Log: o.Logger,
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	r.Pulls.Register(o.Metrics)

	r.Lists = cache.NewLists(cache.Options{
		Source: Source{kube.NewReader(clients.pulls, o.Jobs.Namespace, r.Hub.Latest)},
		Local:  local{r.Hub, role, r.stream, clients.health},
		Redis:  commands, Blocking: blocking, Keys: o.Keys, Leads: role.Leads,
		Away: clients.health.Away, Metrics: cache.NewMetrics(o.Metrics), Logger: o.Logger,
	})

	r.queue = &queueView{Lists: r.Lists, role: role, maxParallel: o.MaxParallel, latest: r.updates.Latest}

	r.Logs = NewLogs(o.Resources, podlogs.New(clients.logs), o.MaxLogStreams, o.MaxCallerLogStreams)
	return r, nil
}

// NewLogs returns a Streamer of pod logs from source. maxStreams and maxCallerStreams are MaxLogStreams and MaxCallerLogStreams of
// Options.
func NewLogs(r *Resources, source podlog.Source, maxStreams, maxCallerStreams int) *follow.Streamer {
	return follow.New(follow.Options{
		Source:     logshare.New(source, logshare.NewMetrics(r.Metrics), r.Memory, r.kept(8, logshare.MaxMemory)),
		MaxStreams: maxStreams, MaxCallerStreams: maxCallerStreams,
		Budget: r.Memory, Turns: r.Turns, Metrics: follow.NewMetrics(r.Metrics), Log: r.Logger,
	})
}

// Close closes the connections to Redis. The caller calls it after Run has returned.
func (r *Replica) Close() {
	if r.redis != nil {
		_ = r.redis.Close() // nothing is lost with a connection
	}
}

// clients are the clients of the API server.
type clients struct {
	health *kube.Health
	pulls  kubernetes.Interface
	logs   kubernetes.Interface
	leases coordinationv1client.LeasesGetter
}

func newClients(o Options) (c clients, err error) {
	// Before the clients: it observes only those that are made after it.
	if c.health, err = kube.NewHealth(o.Config, o.Logger); err != nil {
		return c, err
	}
	c.health.Register(o.Metrics)
	if c.pulls, err = kubernetes.NewForConfig(o.Config); err != nil {
		return c, fmt.Errorf("kubernetes client: %w", err)
	}
	if c.logs, err = podlogs.NewClient(o.Config); err != nil {
		return c, fmt.Errorf("kubernetes client: %w", err)
	}
	leases := rest.CopyConfig(o.Config)
	leases.Timeout = kube.LeaseTimeout
	if c.leases, err = coordinationv1client.NewForConfig(leases); err != nil {
		return c, fmt.Errorf("kubernetes client: %w", err)
	}
	return c, nil
}

// identity returns a name for the Lease that no other replica has.
func identity(name string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return host + "_" + name
}

// Source loads the lists from the cluster, for a cache.
type Source struct{ Reader *kube.Reader }

// Load implements cache.Source.
func (s Source) Load(ctx context.Context) (snapshot cache.Snapshot, err error) {
	snapshot.Active, snapshot.Failed, snapshot.Version, err = s.Reader.Load(ctx)
	return snapshot, err
}
