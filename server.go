// Command pullwatch copies container images into a registry with Kubernetes Jobs and shows every pull live over GraphQL.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	_ "golang.org/x/crypto/x509roots/fallback" // the image holds nothing but this program, so it brings its own roots
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"pullwatch/cache"
	"pullwatch/demo"
	"pullwatch/feed"
	"pullwatch/httpapi"
	"pullwatch/kube"
	"pullwatch/mirror"
	"pullwatch/podlog"
	"pullwatch/resolvers"
	"pullwatch/web"
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
	log := s.newLogger(s.level())
	slog.SetDefault(log)
	// client-go tells at the level of information what is of no interest while all is well.
	klog.SetSlogLogger(s.newLogger(max(s.level(), slog.LevelWarn)))

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
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	template, err := s.jobTemplate()
	if err != nil {
		return err
	}
	destination, err := s.destination()
	if err != nil {
		return err
	}

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	hub := feed.New()
	tracker := kube.NewTracker(hub, log)
	watch := kube.NewWatch(client, s.Namespace, tracker, log)
	pulls, err := kube.NewPulls(client, kube.JobSettings{
		Namespace: s.Namespace, CopierImage: s.CopierImage, RegistrySecret: s.RegistrySecret, InsecureRegistries: s.InsecureRegistry,
		Deadline: s.PullDeadline, HistoryTTL: s.HistoryTTL, Template: template,
	}, destination, watch, log)
	if err != nil {
		return err
	}
	if template != nil {
		if err := pulls.CheckTemplate(ctx); err != nil {
			return fmt.Errorf("job template %s: %w", s.JobTemplate, err)
		}
	}
	leader := kube.NewLeader(client, s.Namespace, identity(), s.MaxParallel, watch, log)
	kube.RegisterMetrics(metrics, watch, leader)
	lists := cache.NewLists(kube.NewReader(client, s.Namespace, watch), cache.NewMetrics(metrics))

	server := httpapi.New(httpapi.Options{
		Schema: resolvers.NewSchema(&resolvers.Resolver{
			Lists: lists, Pulls: pulls, Updates: hub, Sync: watch, Logs: podlog.New(kube.NewPodLogs(client), log),
		}),
		Page:           web.Handler(web.Options{Demo: s.Demo, Behaviors: behaviors(s.Demo)}),
		Ready:          watch.Ready,
		Loopback:       s.loopback(),
		AllowedOrigins: s.AllowedOrigin,
		Metrics:        metrics,
		CertFile:       s.TLSCert, KeyFile: s.TLSKey,
		DrainTimeout: s.DrainTimeout,
		Log:          log,
	})
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.announce(log, listener.Addr())

	if cluster != nil {
		group.Go(func() error {
			return cluster.Run(work, func(ctx context.Context, images []string) error {
				return startDemoPulls(ctx, watch, pulls, images)
			})
		})
	}
	group.Go(func() error { return watch.Run(work) })
	group.Go(func() error { return kube.NewCopierLogs(client, tracker, log).Run(work) })
	group.Go(func() error { return lists.Refresh(work, watch) })
	group.Go(func() error {
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

// identity returns a name that no other replica has, with the host's in it for people.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return host + "_" + uuid.NewString()
}

// startDemoPulls starts pulls for the demo's own traffic, once the state of its cluster is known.
func startDemoPulls(ctx context.Context, watch *kube.Watch, pulls *kube.Pulls, images []string) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-watch.Synced():
	}
	_, err := pulls.Start(ctx, images, nil)
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
