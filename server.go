// Command pullwatch copies container images into a registry with Kubernetes Jobs and shows every pull live over GraphQL.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	_ "golang.org/x/crypto/x509roots/fallback" // the image holds nothing but this program, so it brings its own root certificates

	"pullwatch/internal/mirror"
	"pullwatch/internal/replica"
	"pullwatch/internal/serve/httpapi"
)

// stopTime is how long the program may take to end after --drain-timeout, whatever hangs. Together with the 5 s before SIGTERM and
// the longest drain it fits into the 30 s that Kubernetes waits.
const stopTime = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	settings, command, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "pullwatch:", err)
		os.Exit(2)
	}
	if command.Selected().Name == "mirror" {
		os.Exit(mirror.Command(ctx, settings.Mirror.options(), os.Stdout, settings.Mirror.TerminationLog))
	}
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the program at once
		limit := settings.Serve.DrainTimeout + stopTime
		time.AfterFunc(limit, func() {
			slog.Error("pullwatch did not stop in time and is ended", "limit", limit.String())
			os.Exit(1)
		})
	})
	if err := serve(ctx, &settings.Serve); err != nil {
		slog.Error("pullwatch stops", "error", err)
		if _, wrong := errors.AsType[wrongSetting](err); wrong {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// serve runs the server until ctx is done.
func serve(ctx context.Context, s *serveSettings) error {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	logger := s.newLogger(metrics)

	cluster, err := s.openCluster(logger)
	if err != nil {
		return err
	}
	defer cluster.close()

	limitMemory()
	memory, err := s.memoryBudget()
	if err != nil {
		return fmt.Errorf("--memory-budget: %w", err)
	}
	options, err := s.replicaOptions(cluster.config, replica.NewResources(memory, metrics, logger))
	if err != nil {
		return err
	}
	r, err := replica.New(options)
	if err != nil {
		return err
	}
	defer r.Close()
	if s.JobTemplate != "" {
		if err := r.Pulls.CheckTemplate(ctx); err != nil {
			return s.wrongTemplate(err)
		}
	}

	beside := cluster.parts(r.Pulls)
	var reloads []func()
	var certificate *httpapi.Certificate
	if s.TLSCert != "" {
		if certificate, err = httpapi.LoadCertificate(s.TLSCert, s.TLSKey, logger); err != nil {
			return fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		reloads = append(reloads, certificate.Reload)
	}
	documents, err := s.trustedDocuments(logger)
	if err != nil {
		return err
	}
	if documents != nil {
		reloads = append(reloads, documents.Reload)
	}
	if len(reloads) > 0 {
		beside = append(beside, onHangup(reloads))
	}
	server := r.NewServer(s.httpOptions(certificate, documents))
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.announce(logger, listener.Addr(), options.Redis, r.Identity)
	return r.Run(ctx, func(ctx context.Context) error { return server.Serve(ctx, listener) }, beside...)
}

// onHangup returns the part that reads files again at SIGHUP. From now on that signal does not end the program.
func onHangup(reloads []func()) replica.Part {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangups:
				for _, reload := range reloads {
					reload()
				}
			}
		}
	}
}
