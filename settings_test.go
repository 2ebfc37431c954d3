package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pullwatch/schema"
)

func TestWrongFlagsAreNamedInTheError(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*serveSettings)
		want   string // in the error; empty for none
	}{
		"demo":                          {func(s *serveSettings) {}, ""},
		"loopback by name":              {func(s *serveSettings) { s.Listen = "localhost:0" }, ""},
		"IPv6 loopback":                 {func(s *serveSettings) { s.Listen = "[::1]:8080" }, ""},
		"all addresses":                 {func(s *serveSettings) { s.Listen = ":8080" }, "--auth-none-anyway"},
		"all addresses, on purpose":     {func(s *serveSettings) { s.Listen, s.AuthNoneAnyway = "0.0.0.0:8080", true }, ""},
		"no port":                       {func(s *serveSettings) { s.Listen = "localhost" }, "expected HOST:PORT"},
		"no such port":                  {func(s *serveSettings) { s.Listen = "127.0.0.1:99999" }, "--listen=127.0.0.1:99999: expected HOST:PORT"},
		"copier image with a space":     {func(s *serveSettings) { s.CopierImage = "pull watch" }, "--copier-image=pull watch"},
		"copier image as a URL":         {func(s *serveSettings) { s.CopierImage = "https://r.test/pullwatch:1" }, "--copier-image=https://r.test/pullwatch:1"},
		"copier image by its digest":    {func(s *serveSettings) { s.CopierImage = "r.test:5000/a/b@sha256:" + strings.Repeat("a", 64) }, ""},
		"no name of a namespace":        {func(s *serveSettings) { s.Namespace = "Pulls" }, "--namespace=Pulls: is no name of Kubernetes"},
		"no name of a Secret":           {func(s *serveSettings) { s.RegistrySecret = "pullwatch/logins" }, "--registry-secret=pullwatch/logins"},
		"no name of a ConfigMap":        {func(s *serveSettings) { s.RegistryCA = "ca_crt" }, "--registry-ca=ca_crt"},
		"names of Kubernetes":           {func(s *serveSettings) { s.Namespace, s.RegistrySecret, s.RegistryCA = "a-1", "a.b", "ca.crt" }, ""},
		"insecure registry, no port":    {func(s *serveSettings) { s.InsecureRegistry = []string{"r.test:70000"} }, "--insecure-registry=r.test:70000"},
		"insecure registry, no host":    {func(s *serveSettings) { s.InsecureRegistry = []string{":5000"} }, "--insecure-registry=:5000"},
		"origin with no such port":      {func(s *serveSettings) { s.AllowedOrigin = []string{"http://a:99999"} }, "--allowed-origin=http://a:99999"},
		"space in a cluster's name":     {func(s *serveSettings) { s.ClusterName = "a b" }, "--cluster-name=a b"},
		"control character in a key":    {func(s *serveSettings) { s.RedisPrefix = "a\x00" }, "--redis-prefix"},
		"no prefix of keys":             {func(s *serveSettings) { s.RedisPrefix = "" }, "--redis-prefix"},
		"certificate that is none":      {func(s *serveSettings) { s.TLSCert, s.TLSKey = "go.mod", "go.mod" }, "--tls-cert=go.mod, --tls-key=go.mod: expected"},
		"only what is trusted, nothing": {func(s *serveSettings) { s.OnlyTrusted = true }, "--only-trusted: name the documents that are trusted with --trusted-documents"},
		"certificate without key":       {func(s *serveSettings) { s.TLSCert = "x" }, "go together"},
		"no copier image":               {func(s *serveSettings) { s.Demo = false }, "--copier-image"},
		"demo on a cluster":             {func(s *serveSettings) { s.Kubeconfig = "x" }, "exclude each other"},
		"nothing in parallel":           {func(s *serveSettings) { s.MaxParallel = 0 }, "--max-parallel"},
		"no queue":                      {func(s *serveSettings) { s.MaxQueuedPulls = 0 }, "--max-queued-pulls"},
		"demo of more than may wait":    {func(s *serveSettings) { s.DemoPulls = 2011 }, "--max-queued-pulls"},
		"deadline below a second":       {func(s *serveSettings) { s.PullDeadline = time.Millisecond }, "--pull-deadline"},
		"drain longer than SIGTERM":     {func(s *serveSettings) { s.DrainTimeout = time.Minute }, "--drain-timeout"},
		"insecure registry as a URL":    {func(s *serveSettings) { s.InsecureRegistry = []string{"http://r.test"} }, "--insecure-registry=http://r.test"},
		"private host with a path":      {func(s *serveSettings) { s.AllowPrivateHost = []string{"a.test", "b.test/x"} }, "--allow-private-host=b.test/x"},
		"private IPv6 host":             {func(s *serveSettings) { s.AllowPrivateHost = []string{"[fd00::5]:9000"} }, ""},
		"no pulls in the demo":          {func(s *serveSettings) { s.DemoPulls = 0 }, "--demo-pulls"},
		"Sentinel without a master":     {func(s *serveSettings) { s.RedisURL = "redis+sentinel://a:1,b:2" }, "--redis-url"},
		"Redis cluster with login":      {func(s *serveSettings) { s.RedisURL = "rediss+cluster://u:p@a:1,b:2" }, ""},
		"braces in a key":               {func(s *serveSettings) { s.RedisPrefix = "{a}" }, "--redis-prefix"},
		"destination with placeholders": {func(s *serveSettings) { s.Destination = "harbor.example/{registry}/{repository}" }, ""},
		"unknown placeholder":           {func(s *serveSettings) { s.Destination = "harbor.example/{foo}" }, "--destination: destination \"harbor.example/{foo}\": there is no placeholder {foo}"},
		"unbalanced brace":              {func(s *serveSettings) { s.Destination = "harbor.example/{registry" }, "--destination"},
		"destination is no registry":    {func(s *serveSettings) { s.Destination = "mirror" }, "--destination"},
		"origins":                       {func(s *serveSettings) { s.AllowedOrigin = []string{"https://dash.example", "http://[::1]:3000"} }, ""},
		"all origins":                   {func(s *serveSettings) { s.AllowedOrigin = []string{"*"} }, "--allowed-origin=*"},
		"origin with a path":            {func(s *serveSettings) { s.AllowedOrigin = []string{"https://dash.example/"} }, "--allowed-origin"},
		"origin of any subdomain":       {func(s *serveSettings) { s.AllowedOrigin = []string{"https://*.example"} }, "--allowed-origin"},
		"origin in capitals":            {func(s *serveSettings) { s.AllowedOrigin = []string{"https://Dash.example"} }, "--allowed-origin"},
		"origin with default port":      {func(s *serveSettings) { s.AllowedOrigin = []string{"https://dash.example:443"} }, "--allowed-origin"},
		"pong before the ping":          {func(s *serveSettings) { s.PongWait = s.PingInterval }, "longer than --ping-interval=54s"},
		"pings without a pause":         {func(s *serveSettings) { s.PingInterval = 0 }, "--ping-interval"},
		"no time to write":              {func(s *serveSettings) { s.WriteTimeout = 0 }, "--write-timeout"},
		"no time to begin":              {func(s *serveSettings) { s.InitTimeout = 0 }, "--init-timeout"},
		"no connections":                {func(s *serveSettings) { s.MaxConnections = 0 }, "--max-connections"},
		"no subscriptions":              {func(s *serveSettings) { s.MaxSubscriptions = 0 }, "--max-subscriptions"},
		"no operations":                 {func(s *serveSettings) { s.MaxOperations = 0 }, "--max-operations"},
		"messages of no length":         {func(s *serveSettings) { s.MaxMessage = 1 }, "--max-message"},
		"memory as Kubernetes has it":   {func(s *serveSettings) { s.MemoryBudget = "256Mi" }, ""},
		"too little memory":             {func(s *serveSettings) { s.MemoryBudget = "1Mi" }, "--memory-budget=1Mi: must be at least 32Mi"},
		"memory without a number":       {func(s *serveSettings) { s.MemoryBudget = "much" }, "--memory-budget=much: expected a number of bytes"},
		"fewer than no connections":     {func(s *serveSettings) { s.MaxAddressConnections = -1 }, "--max-address-connections"},
		"fewer logs each than none":     {func(s *serveSettings) { s.MaxCallerLogStreams = -1 }, "--max-caller-log-streams"},
		"any number of logs each":       {func(s *serveSettings) { s.MaxCallerLogStreams = 0 }, ""},
		"origin without its port":       {func(s *serveSettings) { s.AllowedOrigin = []string{"http://localhost:"} }, "--allowed-origin"},
	} {
		t.Run(name, func(t *testing.T) {
			commands, _, err := parse([]string{"--demo"})
			if err != nil {
				t.Fatal(err)
			}
			s := commands.Serve
			c.change(&s)
			err = s.Validate()
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

// FuzzIsOrigin checks that an origin is accepted only as browsers write it. Written otherwise it would match no page.
func FuzzIsOrigin(f *testing.F) {
	for _, text := range []string{
		"https://dash.example", "http://[::1]:3000", "http://localhost:", "http://localhost:080", "https://b\u00fccher.example", "null", "*",
		"http://a b", "http://a@b", "http://a/", "http://a?", "http://a#", "//a", "app://x", "http://a:99999", "http://A", "http://a%41", "http://1:80",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !isOrigin(text) {
			return
		}
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		host := u.Hostname()
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if port := u.Port(); port != "" {
			host += ":" + strings.TrimLeft(port, "0")
		}
		const written = "abcdefghijklmnopqrstuvwxyz0123456789-._:/[]+"
		if u.Hostname() == "" || text != u.Scheme+"://"+host || strings.Trim(text, written) != "" {
			t.Errorf("%q is accepted", text)
		}
	})
}

func TestFlagsComeFromTheEnvironment(t *testing.T) {
	t.Setenv("PULLWATCH_MAX_PARALLEL", "3")
	t.Setenv("PULLWATCH_DEMO", "true")
	t.Setenv("PULLWATCH_INSECURE_REGISTRY", "a:1,b:2")
	t.Setenv("PULLWATCH_PING_INTERVAL", "1s")
	t.Setenv("PULLWATCH_INTROSPECTION", "false")
	c, command, err := parse([]string{"--log-level=debug"})
	if err != nil || command.Selected().Name != "serve" {
		t.Fatal(err)
	}
	s := c.Serve
	if s.MaxParallel != 3 || !s.Demo || len(s.InsecureRegistry) != 2 || s.LogLevel != "debug" || s.HistoryTTL != 24*time.Hour ||
		s.PingInterval != time.Second || s.Introspection {
		t.Errorf("%+v", s)
	}
}

func TestFlagsOfMirrorAreRead(t *testing.T) {
	c, command, err := parse([]string{"mirror", "--insecure-registry=a:1", "--platform=linux/arm64", "--platform=linux/amd64", "nginx", "a:1/nginx"})
	if err != nil || command.Selected().Name != "mirror" {
		t.Fatal(err)
	}
	if m := c.Mirror; m.Source != "nginx" || m.Destination != "a:1/nginx" || m.InsecureRegistry[0] != "a:1" || len(m.Platform) != 2 {
		t.Errorf("%+v", m)
	}
}

func TestTheSchemaIsServedUnlessIntrospectionIsOff(t *testing.T) {
	for introspection, status := range map[bool]int{true: http.StatusOK, false: http.StatusNotFound} {
		s := serveSettings{Demo: true, Introspection: introspection}
		recorder := httptest.NewRecorder()
		s.httpOptions(nil, nil).Page.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/schema.graphql", nil))
		if recorder.Code != status || introspection && recorder.Body.String() != schema.Text {
			t.Errorf("introspection %v: %d %q", introspection, recorder.Code, recorder.Body)
		}
	}
}

func TestAllWrongSettingsAreNamedAtOnceWithTheirVariables(t *testing.T) {
	t.Setenv("PULLWATCH_MAX_QUEUED_PULLS", "0")
	t.Setenv("PULLWATCH_REGISTRY_SECRET", "A/B")
	t.Setenv("PULLWATCH_MAX_PARALLEL", "5")
	_, _, err := parse([]string{"--demo", "--demo-pulls=1", "--max-parallel=0", "--insecure-registry=http://a", "--insecure-registry=b/c"})
	if err == nil {
		t.Fatal("they are accepted")
	}
	for _, want := range []string{
		"--max-queued-pulls=0: must be at least 1 (from PULLWATCH_MAX_QUEUED_PULLS)", "--insecure-registry=http://a:", "--insecure-registry=b/c:",
		"--max-parallel=0: must be at least 1\n", "(from PULLWATCH_REGISTRY_SECRET)",
	} {
		if !strings.Contains(err.Error()+"\n", want) {
			t.Errorf("%v\nwant %q", err, want)
		}
	}
}

func TestAValueOfTheWrongKindIsAnErrorThatNamesItsSource(t *testing.T) {
	for name, c := range map[string]struct{ variable, value, flag, want string }{
		"a flag that is no number":          {flag: "--max-parallel=many", want: "--max-parallel"},
		"a flag that does not exist":        {flag: "--nope", want: "--nope"},
		"a duration without a unit":         {flag: "--pull-deadline=5", want: "--pull-deadline"},
		"a variable that is no number":      {variable: "PULLWATCH_MAX_PARALLEL", value: "many", want: "PULLWATCH_MAX_PARALLEL"},
		"a variable of another choice":      {variable: "PULLWATCH_LOG_LEVEL", value: "loud", want: "PULLWATCH_LOG_LEVEL"},
		"a variable that names no file":     {variable: "PULLWATCH_TLS_CERT", value: "/nope", want: "PULLWATCH_TLS_CERT"},
		"a variable that is neither yes/no": {variable: "PULLWATCH_AUTH_NONE_ANYWAY", value: "perhaps", want: "PULLWATCH_AUTH_NONE_ANYWAY"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"--demo"}
			if c.flag != "" {
				args = append(args, c.flag)
			} else {
				t.Setenv(c.variable, c.value)
			}
			if _, _, err := parse(args); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}

func TestTrustedDocumentsAreCheckedAgainstTheSchema(t *testing.T) {
	file := filepath.Join(t.TempDir(), "persisted-documents.json")
	for manifest, c := range map[string]struct {
		flag string
		want string // in the error; empty for none
	}{
		`{"a":"{ activePulls { id } }"}`:                   {"--only-trusted", ""},
		`{"a":"query A {\n  activePulls { name }\n}"}`:     {"--only-trusted", `entry "a": line 2, column 17: Cannot query field "name" on type "PullJob".`},
		`{"a":"{ __schema { types { name } } }"}`:          {"--no-introspection", `entry "a": introspection is switched off`},
		`{"a":"` + strings.Repeat(" ", 65<<10) + `{ x }"}`: {"--only-trusted", `entry "a": the document has 66565 bytes; it may have 65536`},
	} {
		if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := parse([]string{"--demo", "--trusted-documents=" + file, c.flag})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), "--trusted-documents: "+file+": "+c.want) {
			t.Errorf("%.100s: %v; want %q", manifest, err, c.want)
		}
	}
}

func TestAWrongJobTemplateIsAWrongSetting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "job.yaml")
	for template, unsafe := range map[string]bool{"spec: {suspend: false}": true, "spec: {template: {spec: {hostPID: true}}}": false, "spec: [": false} {
		if err := os.WriteFile(file, []byte(template), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"--demo", "--job-template=" + file}
		if unsafe {
			args = append(args, "--allow-unsafe-template")
		}
		c, _, err := parse(args)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Serve.replicaOptions(nil, nil)
		if _, wrong := errors.AsType[wrongSetting](err); !wrong || !strings.Contains(err.Error(), "--job-template="+file) {
			t.Errorf("%s: %v; want a wrong setting that names the flag", template, err)
		}
	}
}
