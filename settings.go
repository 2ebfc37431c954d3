package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"pullwatch/internal/demo"
	"pullwatch/internal/loglimit"
	"pullwatch/internal/mirror"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/replica"
	"pullwatch/internal/serve/httpapi"
	"pullwatch/internal/serve/trusted"
	"pullwatch/internal/serve/web"
	"pullwatch/kube"
	"pullwatch/schema"
)

// commands are the commands and flags of the program. Each flag is also an environment variable: --max-parallel is
// PULLWATCH_MAX_PARALLEL.
type commands struct {
	Serve  serveSettings  `cmd:"" default:"withargs" help:"Serve the GraphQL API: the default command. The other one is mirror, which copies one image."`
	Mirror mirrorSettings `cmd:"" help:"Copy one image from a registry to another. Pulls run this in their pods; it works from a shell, too. Logins are those of the Docker configuration (DOCKER_CONFIG). It ends with exit code 0, with 1 when another try may succeed, with 3 when none will."`
}

// serveSettings are the flags of the server.
type serveSettings struct {
	Listen           string        `group:"Serving" default:"127.0.0.1:8080" placeholder:"ADDRESS" help:"Address to serve on. (${default})"`
	AuthNoneAnyway   bool          `group:"Serving" help:"Serve on an address other than loopback although nobody is asked who they are. Put it behind something that does."`
	AllowedOrigin    []string      `group:"Serving" placeholder:"ORIGIN" help:"Origin of web pages, besides this server's own, that may use it, e.g. https://dash.example; also a name under which a proxy on this machine passes requests on. Repeatable."`
	TLSCert          string        `group:"Serving" type:"existingfile" placeholder:"FILE" help:"Certificate chain in PEM; serves HTTPS. When the file changes, the new one is served."`
	TLSKey           string        `group:"Serving" type:"existingfile" placeholder:"FILE" help:"Private key of --tls-cert in PEM."`
	TrustedDocuments []string      `group:"Serving" type:"existingfile" placeholder:"FILE" help:"Manifest of the documents of a client, as GraphQL Code Generator, Relay's compiler or Apollo's generate-persisted-query-manifest writes it: requests may name them by ids. When the file changes, the new one is used. Repeatable."`
	OnlyTrusted      bool          `group:"Serving" help:"Execute no documents but those of --trusted-documents and those that this server's own page sends."`
	DrainTimeout     time.Duration `group:"Serving" default:"15s" help:"How long requests may take to finish after SIGTERM, at most 20s. (${default})"`

	PingInterval          time.Duration `group:"Limits" default:"54s" help:"How often WebSockets are pinged. (${default})"`
	PongWait              time.Duration `group:"Limits" default:"60s" help:"How long the client of a WebSocket may be silent. (${default})"`
	WriteTimeout          time.Duration `group:"Limits" default:"10s" help:"How long the reader of a WebSocket or of server-sent events may take to accept what is sent. (${default})"`
	InitTimeout           time.Duration `group:"Limits" default:"10s" help:"How long the client of a WebSocket may take to send connection_init. (${default})"`
	MaxConnections        int           `group:"Limits" default:"20000" placeholder:"N" help:"How many WebSockets there may be, and how many streams of server-sent events. (${default})"`
	MaxAddressConnections int           `group:"Limits" placeholder:"N" help:"How many of each one client address may have. Behind a proxy all have its address. Default: --max-connections."`
	MaxSubscriptions      int           `group:"Limits" default:"100" placeholder:"N" help:"How many operations a WebSocket may run at a time. (${default})"`
	MaxMessage            int           `group:"Limits" default:"65536" placeholder:"BYTES" help:"Longest message that a client may send over a WebSocket. (${default})"`
	MaxLogStreams         int           `group:"Limits" default:"300" placeholder:"N" help:"How many streams of pod logs there may be; each can hold a megabyte for a reader that is slow. (${default})"`
	MaxCallerLogStreams   int           `group:"Limits" default:"100" placeholder:"N" help:"How many of them one client address may have; 0 for any number. Behind a proxy all have its address. (${default})"`
	MaxOperations         int           `group:"Limits" default:"1000" placeholder:"N" help:"How many queries and mutations may be executed at a time. (${default})"`
	MemoryBudget          string        `group:"Limits" placeholder:"SIZE" help:"Memory that clients may make the server take, e.g. 256Mi; one client address can take half of it. Default: a third of the cgroup's limit or GOMEMLIMIT, and without either a twelfth of the machine's memory."`
	Introspection         bool          `group:"Limits" default:"true" negatable:"" help:"Let clients ask for the schema, as they may by default."`

	Kubeconfig string `group:"Cluster" type:"existingfile" placeholder:"FILE" help:"Cluster to use. Default: the one that it runs in, otherwise the usual kubeconfig rules."`
	Namespace  string `group:"Cluster" placeholder:"NAME" help:"Namespace of the pull Jobs. Default: the kubeconfig's or the pod's own."`
	Demo       bool   `group:"Cluster" help:"Use an embedded, simulated cluster that needs nothing else."`
	DemoPulls  int    `group:"Cluster" default:"12" placeholder:"N" help:"How many pulls the demo keeps active. (${default})"`

	RedisURL    string `group:"Redis" name:"redis-url" placeholder:"URL" help:"Redis that replicas share lists and updates through. redis://[user:password@]host:port[/database], redis+sentinel://host:port,…/master or redis+cluster://host:port,…; rediss… with TLS. Default: none, and each replica watches the cluster for itself."`
	RedisPrefix string `group:"Redis" default:"pullwatch" placeholder:"PREFIX" help:"Begins the names of all keys in Redis. (${default})"`
	ClusterName string `group:"Redis" placeholder:"NAME" help:"Tells clusters apart that share a Redis; the same on all replicas. Default: the namespace of the Jobs."`

	Destination         string        `group:"Pulls" placeholder:"REGISTRY[/PATH]" help:"Where images are copied to unless a caller names another place, e.g. harbor.example/mirror. {registry} and {repository} in the path stand for the image's own, e.g. harbor.example/{registry}/{repository}; without {repository} that is appended."`
	CopierImage         string        `group:"Pulls" placeholder:"IMAGE" help:"Image that holds this program; pulls run it. Needed without --demo."`
	MaxParallel         int           `group:"Pulls" default:"10" placeholder:"N" help:"How many pulls run at a time; the others wait in the queue. (${default})"`
	MaxQueuedPulls      int           `group:"Pulls" default:"2000" placeholder:"N" help:"How many pulls may wait in the queue; more are refused. Replicas count for themselves, so together they may let in a few more. (${default})"`
	RegistrySecret      string        `group:"Pulls" placeholder:"NAME" help:"Secret of type kubernetes.io/dockerconfigjson, in the namespace of the Jobs, with the logins of source and destination registries."`
	RegistryCA          string        `group:"Pulls" name:"registry-ca" placeholder:"NAME" help:"ConfigMap, in the namespace of the Jobs, whose values are certificates in PEM of authorities to trust besides the well-known ones."`
	InsecureRegistry    []string      `group:"Pulls" placeholder:"HOST[:PORT]" help:"Registry whose certificate is not verified, and to which plain HTTP is spoken if it has no TLS. Repeatable."`
	AllowPrivateHost    []string      `group:"Pulls" placeholder:"HOST[:PORT]" help:"Host in a private network that registries outside of it may send the copier to: a token server or a store of blobs. Repeatable."`
	JobTemplate         string        `group:"Pulls" type:"existingfile" placeholder:"FILE" help:"Job in YAML to lay over the ones that pulls run as: node selector, tolerations, resources, pull secrets, proxies."`
	AllowUnsafeTemplate bool          `group:"Pulls" help:"Let --job-template make the copier less safe, e.g. with the host's network."`
	PullDeadline        time.Duration `group:"Pulls" default:"1h" help:"How long a pull may take from when it leaves the queue, all attempts together. (${default})"`
	HistoryTTL          time.Duration `group:"Pulls" name:"history-ttl" default:"24h" help:"How long a finished pull is kept. (${default})"`

	LogFormat string `group:"Logging" enum:"text,json" default:"text" help:"text or json. (${default})"`
	LogLevel  string `group:"Logging" enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error. (${default})"`
}

// httpOptions returns the options of the HTTP server that depend on flags. certificate is nil for plain HTTP, documents without
// trusted documents.
func (s *serveSettings) httpOptions(certificate *httpapi.Certificate, documents *trusted.Documents) httpapi.Options {
	page := web.Options{Demo: s.Demo, Behaviors: behaviors(s.Demo)}
	if s.Introspection {
		page.Schema = schema.Text
	}
	return httpapi.Options{
		Page:           web.Handler(page),
		Loopback:       s.loopback(),
		AllowedOrigins: s.AllowedOrigin,
		Certificate:    certificate,
		Trusted:        documents,
		OnlyTrusted:    s.OnlyTrusted,
		DrainTimeout:   s.DrainTimeout,
		Limits: httpapi.Limits{
			PingInterval: s.PingInterval, PongWait: s.PongWait, WriteTimeout: s.WriteTimeout, InitTimeout: s.InitTimeout,
			MaxConnections: s.MaxConnections, MaxConnectionsPerAddress: s.MaxAddressConnections, MaxSubscriptions: s.MaxSubscriptions,
			MaxMessage: s.MaxMessage, MaxOperations: s.MaxOperations, Introspection: s.Introspection,
		},
	}
}

// trustedDocuments reads the files of --trusted-documents. It returns nil if there are none.
func (s *serveSettings) trustedDocuments(logger *slog.Logger) (*trusted.Documents, error) {
	if len(s.TrustedDocuments) == 0 {
		return nil, nil
	}
	documents, err := trusted.Load(trusted.Options{
		Files: s.TrustedDocuments, Check: replica.CheckDocument(s.Introspection), Page: web.Documents(), Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("--trusted-documents: %w", err)
	}
	return documents, nil
}

// behaviors returns the words in image names that the page of a demo explains.
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

// replicaOptions returns the options of a replica in the cluster that is reached with config.
func (s *serveSettings) replicaOptions(config *rest.Config, resources *replica.Resources) (replica.Options, error) {
	o := replica.Options{
		Resources: resources, Config: config, Keys: redisclient.Keys(s.RedisPrefix, cmp.Or(s.ClusterName, s.Namespace)),
		Jobs: kube.JobSettings{
			Namespace: s.Namespace, CopierImage: s.CopierImage, RegistrySecret: s.RegistrySecret, RegistryCA: s.RegistryCA,
			InsecureRegistries: s.InsecureRegistry, AllowPrivateHosts: s.AllowPrivateHost,
			AllowUnsafeTemplate: s.AllowUnsafeTemplate,
			Deadline:            s.PullDeadline, HistoryTTL: s.HistoryTTL,
		},
		MaxParallel: s.MaxParallel, MaxQueued: s.MaxQueuedPulls,
		MaxLogStreams: s.MaxLogStreams, MaxCallerLogStreams: s.MaxCallerLogStreams,
	}
	var err error
	if o.Redis, err = s.redis(); err != nil {
		return o, err
	}
	if o.Destination, err = s.destination(); err != nil {
		return o, err
	}
	if s.JobTemplate != "" {
		if o.Jobs.Template, err = os.ReadFile(s.JobTemplate); err == nil {
			err = o.Jobs.CheckTemplate()
		}
		if err != nil {
			return o, s.wrongTemplate(err)
		}
	}
	return o, nil
}

// wrongSetting is the error of a flag that shows only when the cluster is known.
type wrongSetting struct{ error }

func (s *serveSettings) wrongTemplate(err error) error {
	return wrongSetting{fmt.Errorf("--job-template=%s: %w", s.JobTemplate, err)}
}

// destination returns the default destination; empty for none.
func (s *serveSettings) destination() (string, error) {
	if s.Destination == "" {
		return "", nil
	}
	return pull.ParseDestination(s.Destination)
}

// redis returns how to reach the Redis to use; nil for none.
func (s *serveSettings) redis() (*redisclient.Settings, error) {
	if s.RedisURL == "" {
		return nil, nil
	}
	return redisclient.Parse(strings.TrimSpace(s.RedisURL)) // a Secret that was made of a file may end with a line break
}

func (s *serveSettings) level() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		panic(err) // kong accepts only known levels
	}
	return level
}

// newLogger returns the logger, which becomes slog's default, and registers its metrics.
func (s *serveSettings) newLogger(metrics prometheus.Registerer) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.level()}
	var lines slog.Handler = slog.NewTextHandler(os.Stderr, options)
	if s.LogFormat == "json" {
		lines = slog.NewJSONHandler(os.Stderr, options)
	}
	limited := loglimit.New(lines)
	limited.Register(metrics)
	logger := slog.New(limited)
	slog.SetDefault(logger)
	// client-go logs every retry during an outage, often as an error. Its lines show at debug level only, because this program
	// logs outages itself.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	if s.level() == slog.LevelDebug {
		klog.SetSlogLogger(slog.New(lines))
	}
	return logger
}

// announce logs the server's URL, and whether it is only a demo.
func (s *serveSettings) announce(logger *slog.Logger, at net.Addr, redis *redisclient.Settings, identity string) {
	shown := "none"
	if redis != nil {
		shown = redis.String()
	}
	scheme := "http"
	if s.TLSCert != "" {
		scheme = "https"
	}
	address := fmt.Sprintf("%s://%s/", scheme, at)
	if s.Demo {
		logger.Info("serving a DEMO: the cluster is simulated and nothing is copied", "url", address, "namespace", s.Namespace, "redis", shown)
		return
	}
	logger.Info("serving", "url", address, "namespace", s.Namespace, "redis", shown, "identity", identity)
}

// mirrorSettings are the flags of the copier.
type mirrorSettings struct {
	Source           string   `arg:"" name:"SRC" help:"Image to copy, e.g. nginx:1.27 or host:5000/app@sha256:…"`
	Destination      string   `arg:"" name:"DST" help:"Where to, e.g. harbor.example/mirror/nginx:1.27"`
	RegistryCA       []string `name:"registry-ca" placeholder:"FILE" help:"Certificates in PEM of authorities to trust besides the system's; a directory stands for its files. Repeatable."`
	InsecureRegistry []string `placeholder:"HOST[:PORT]" help:"Registry whose certificate is not verified, and to which plain HTTP is spoken if it has no TLS. Repeatable."`
	AllowPrivateHost []string `placeholder:"HOST[:PORT]" help:"Host in a private network that registries outside of it may send the copier to. Repeatable."`
	Platform         []string `placeholder:"OS/ARCH[/VARIANT]" help:"Copy only this platform of an image, e.g. linux/amd64, under an index of its own. Repeatable. Default: all platforms."`
	TerminationLog   string   `placeholder:"FILE" help:"Write the outcome, in JSON, to this file."`
}

func (m *mirrorSettings) options() mirror.Options {
	return mirror.Options{
		Source: m.Source, Destination: m.Destination, InsecureRegistries: m.InsecureRegistry,
		AllowPrivateHosts: m.AllowPrivateHost, Authorities: m.RegistryCA, Platforms: m.Platform,
	}
}

// parse reads the command line and the environment. For --help it prints the help and ends the program. An error names all flags
// that are wrong, or variables, and what is allowed.
func parse(args []string) (*commands, *kong.Context, error) {
	var c commands
	parser, err := kong.New(&c,
		kong.Name(filepath.Base(os.Args[0])),
		kong.Description("pullwatch copies container images into a registry with Kubernetes Jobs and shows every pull live over GraphQL."),
		kong.DefaultEnvars("PULLWATCH"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return nil, nil, err
	}
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		args = []string{"serve", "--help"} // people look for the flags of the default command
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return nil, nil, namingVariables(err, args)
	}
	return &c, ctx, nil
}

// namingVariables returns err with the name of the variable in each line about a flag whose value comes from the environment.
func namingVariables(err error, args []string) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		flag := leadingFlag.FindString(strings.TrimPrefix(line, "serve: "))
		variable := "PULLWATCH_" + strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_"))
		given := slices.ContainsFunc(args, func(arg string) bool { return arg == flag || strings.HasPrefix(arg, flag+"=") })
		if _, set := os.LookupEnv(variable); flag != "" && set && !given && !strings.Contains(line, variable) {
			lines[i] += " (from " + variable + ")"
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

// leadingFlag matches the flag with which an error begins.
var leadingFlag = regexp.MustCompile(`^--[a-z-]+`)
