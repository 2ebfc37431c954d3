// Command pullwatch copies container images into a registry with Kubernetes Jobs and shows every pull live over GraphQL.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	_ "golang.org/x/crypto/x509roots/fallback" // the image holds nothing but this program, so it brings its own roots
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"pullwatch/cache"
	"pullwatch/internal/budget"
	"pullwatch/internal/demo"
	"pullwatch/internal/feed"
	"pullwatch/internal/loglimit"
	"pullwatch/internal/mirror"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/logshare"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/breaker"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/httpapi"
	"pullwatch/internal/serve/render"
	"pullwatch/internal/serve/web"
	"pullwatch/internal/turns"
	"pullwatch/kube"
	"pullwatch/resolvers"
)

// stopLimit is how long the program may take to end after a signal, whatever hangs.
const stopLimit = 20 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	settings, command, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "pullwatch:", err)
		os.Exit(2)
	}
	if command.Selected().Name == "mirror" {
		m := settings.Mirror
		os.Exit(mirror.Command(ctx, mirror.Options{
			Source: m.Source, Destination: m.Destination, InsecureRegistries: m.InsecureRegistry,
			AllowPrivateHosts: m.AllowPrivateHost, Authorities: m.RegistryCA, Platforms: m.Platform,
		}, os.Stdout, m.TerminationLog))
	}
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the program at once
		time.AfterFunc(stopLimit, func() {
			slog.Error("pullwatch did not stop in time and is ended", "limit", stopLimit.String())
			os.Exit(1)
		})
	})
	if err := serve(ctx, &settings.Serve); err != nil {
		slog.Error("pullwatch stops", "error", err)
		os.Exit(1)
	}
}

// serve runs the server until ctx is done.
func serve(ctx context.Context, s *serveSettings) error {
	lines := s.newLogHandler()
	limited := loglimit.New(lines)
	log := slog.New(limited)
	slog.SetDefault(log)
	// client-go tells of every attempt while something is away, and as errors of what is none. What matters is told here.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	if s.level() == slog.LevelDebug {
		klog.SetSlogLogger(slog.New(lines)) // all of it, as all else that is for debugging
	}

	// What requests need goes on until the last of them has been answered.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	group, work := errgroup.WithContext(work)

	var cluster *demo.Cluster
	var config *rest.Config
	var err error
	if s.Demo {
		cluster, err = demo.New(demo.Options{ActivePulls: s.DemoPulls, Logger: log})
		if err != nil {
			return err
		}
		defer cluster.Close()
		config = s.useDemo(cluster)
	} else if config, err = s.useCluster(); err != nil {
		return err
	}
	health, err := kube.NewHealth(config, log)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	logClient, err := kube.NewLogClient(config)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	leaseConfig := rest.CopyConfig(config)
	leaseConfig.Timeout = kube.LeaseTimeout
	leases, err := coordinationv1client.NewForConfig(leaseConfig)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	redisSettings, err := s.redis()
	if err != nil {
		return err
	}
	template, err := s.jobTemplate()
	if err != nil {
		return err
	}
	destination, err := s.destination()
	if err != nil {
		return err
	}

	limitMemory()
	memory, err := s.memoryBudget()
	if err != nil {
		return fmt.Errorf("--memory-budget: %w", err)
	}
	metrics := prometheus.NewRegistry()
	// A quarter of the memory is for what is kept.
	clients := budget.New(int64(memory/4*3), metrics)
	// Half of the processors do what takes long, so that the others answer everybody at once.
	long := turns.New(max(1, runtime.GOMAXPROCS(0)/2))
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	limited.Register(metrics)
	replica := strings.ToLower(rand.Text()[:8])
	name := identity(replica)
	hub := feed.New(replica)
	hub.Register(metrics)
	var (
		leader     *kube.Leader
		watch      *kube.Watch
		stream     *feed.Stream
		shared     pullFeed = hub
		succession kube.Succession
		commands   redis.UniversalClient
	)
	if redisSettings != nil {
		client := redisclient.New(redisSettings, log, metrics)
		defer client.Close()
		commands = client.Commands()
		stream = feed.NewStream(feed.Options{
			Hub: hub, Redis: client.Stream(), Keys: s.keys(), Log: log,
			Leads: func() bool { return leader.Leads() }, Watches: func() bool { return watch.Live() }, Proven: health.Asked,
		})
		stream.RegisterStream(metrics)
		shared, succession = stream, stream
	}
	tracker := kube.NewTracker(shared, log)
	watch = kube.NewWatch(client, s.Namespace, tracker, log)
	pulls, err := kube.NewPulls(kube.PullsOptions{
		Client: client, Destination: destination, MaxQueued: s.MaxQueuedPulls, Turns: long, Known: shared, Tracker: tracker, Health: health, Log: log,
		Jobs: kube.JobSettings{
			Namespace: s.Namespace, CopierImage: s.CopierImage, RegistrySecret: s.RegistrySecret, RegistryCA: s.RegistryCA,
			InsecureRegistries: s.InsecureRegistry, AllowPrivateHosts: s.AllowPrivateHost,
			Deadline: s.PullDeadline, HistoryTTL: s.HistoryTTL, Template: template,
		},
	})
	if err != nil {
		return err
	}
	if template != nil {
		if err := pulls.CheckTemplate(ctx); err != nil {
			return fmt.Errorf("job template %s: %w", s.JobTemplate, err)
		}
	}
	leader = kube.NewLeader(kube.LeaderOptions{
		Client: client, Leases: leases, Namespace: s.Namespace, Identity: name, MaxParallel: s.MaxParallel,
		Watch: watch, Succession: succession, Log: log,
	})
	kube.RegisterMetrics(metrics, watch, leader)
	health.Register(metrics)
	pulls.Register(metrics)
	lists := cache.NewLists(cache.Options{
		Source: source{kube.NewReader(client, s.Namespace, hub.Latest)}, Local: knowledge{hub, watch, stream, health},
		Redis: commands, Keys: s.keys(), Leads: leader.Leads,
		Kubernetes: breaker.New("kubernetes", breaker.Judge, log, metrics), Metrics: cache.NewMetrics(metrics), Log: log,
	})

	logs := podlog.New(podlog.Options{
		Source:     logshare.New(kube.NewPodLogs(logClient), logshare.NewMetrics(metrics), clients, kept(memory, 8, logshare.MaxMemory)),
		Metrics:    podlog.NewMetrics(metrics),
		MaxStreams: s.MaxLogStreams, MaxCallerStreams: s.MaxCallerLogStreams,
		Budget: clients, Turns: long,
		Log: log,
	})
	failures := executor.NewErrors(log, metrics)
	schema := resolvers.NewSchema(&resolvers.Resolver{Lists: lists, Pulls: pulls, Updates: shared, Logs: logs})
	renderer := render.New(render.Options{
		MaxKept: kept(memory, 16, 64<<20), Turns: long,
		Schema: schema, Lists: lists, PresentError: failures.Present, Recover: failures.Recover,
		Metrics: render.NewMetrics(metrics),
	})

	var ready readiness
	server := httpapi.New(httpapi.Options{
		Schema:         schema,
		Errors:         failures,
		Middleware:     renderer.Operation,
		ActivePulls:    hub.ActiveCount,
		Page:           web.Handler(web.Options{Demo: s.Demo, Behaviors: behaviors(s.Demo)}),
		Ready:          ready.Check,
		Loopback:       s.loopback(),
		AllowedOrigins: s.AllowedOrigin,
		Limits:         s.limits(),
		Memory:         clients,
		Turns:          long,
		KnownDocuments: kept(memory, 16, 32<<20),
		Metrics:        metrics,
		CertFile:       s.TLSCert, KeyFile: s.TLSKey,
		DrainTimeout: s.DrainTimeout,
		Log:          log,
	})
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.announce(log, listener.Addr(), redisSettings, name)

	if cluster != nil {
		group.Go(func() error {
			return cluster.Run(work, func(ctx context.Context, images []string) error {
				return startDemoPulls(ctx, hub, pulls, images)
			})
		})
	}
	group.Go(func() error { return watch.Run(work) })
	group.Go(func() error { return kube.NewCopierLogs(client, tracker, log).Run(work) })
	group.Go(func() error { return lists.Run(work) })
	group.Go(func() error { return ready.run(work, hub, lists) })
	resigned := make(chan struct{})
	if stream == nil {
		defer watch.Demand()()
	} else {
		group.Go(func() error {
			// The leader's last word goes through it.
			streaming, stop := context.WithCancel(context.WithoutCancel(work))
			defer stop()
			defer context.AfterFunc(work, func() { <-resigned; stop() })()
			return stream.Run(streaming)
		})
		group.Go(func() error { return kube.StandIn(work, watch, stream) })
	}
	group.Go(func() error {
		defer close(resigned)
		// Another replica may lead as soon as this one begins to stop.
		leading, stop := context.WithCancel(work)
		defer context.AfterFunc(ctx, stop)()
		return leader.Run(leading)
	})
	group.Go(func() error {
		defer stopWork()
		serving, stop := context.WithCancel(work)
		defer context.AfterFunc(ctx, stop)()
		return server.Serve(serving, listener)
	})
	return group.Wait()
}

// identity returns a name for the Lease that no other replica has, with the host's in it for people.
func identity(replica string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return host + "_" + replica
}

// startDemoPulls starts pulls for the demo's own traffic, once the state of its cluster is known.
func startDemoPulls(ctx context.Context, hub *feed.Hub, pulls *kube.Pulls, images []string) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-hub.Filled():
	}
	_, err := pulls.Start(ctx, pull.StartRequest{Images: images})
	return err
}

func behaviors(demoed bool) []web.Behavior {
	if !demoed {
		return nil
	}
	var all []web.Behavior
	for _, b := range demo.Behaviors() {
		all = append(all, web.Behavior{Word: b.Word, Description: b.Description})
	}
	return all
}
