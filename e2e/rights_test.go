package e2e

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// account makes a ServiceAccount with the manifest's Role, but for what without takes away of its rules, and returns a kubeconfig
// for it.
func account(t *testing.T, namespace string, without func(*rbacv1.PolicyRule)) (kubeconfig string) {
	t.Helper()
	manifest, err := os.Open("../deploy/pullwatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer manifest.Close()
	var role rbacv1.Role
	for documents := yaml.NewYAMLOrJSONDecoder(manifest, 4096); role.Kind != "Role"; {
		role = rbacv1.Role{}
		if err := documents.Decode(&role); err != nil {
			t.Fatal(err)
		}
	}
	role.Namespace = namespace
	for i := range role.Rules {
		without(&role.Rules[i])
	}
	role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return len(r.Verbs) == 0 })
	const name = "pullwatch"
	made := metav1.ObjectMeta{Name: name}
	if _, err := env.Client.RbacV1().Roles(namespace).Create(t.Context(), &role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	accounts := env.Client.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: made}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = env.Client.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: made, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := accounts.CreateToken(t.Context(), name, &authv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(env.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	current := config.Contexts[config.CurrentContext]
	config.AuthInfos = map[string]*clientcmdapi.AuthInfo{current.AuthInfo: {Token: token.Status.Token}}
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// lacking takes a verb for a resource away.
func lacking(verb string, resources ...string) func(*rbacv1.PolicyRule) {
	return func(r *rbacv1.PolicyRule) {
		if slices.ContainsFunc(resources, func(of string) bool { return slices.Contains(r.Resources, of) }) {
			r.Verbs = slices.DeleteFunc(r.Verbs, func(v string) bool { return v == verb })
		}
	}
}

func TestPullsAreFollowedWhereWatchingIsRefused(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	image, digest := source.image(t, "app:1", 1000, 1)
	namespace := newNamespace(t)
	kubeconfig := account(t, namespace, lacking("watch", "jobs", "pods"))
	s := startServer(t, namespace, append(insecure(source.host), "--kubeconfig="+kubeconfig)...)
	checkCopied(t, s.outcome(t, s.startOne(t, image).ID), digest)
	if n := strings.Count(s.Log.String(), "Kubernetes refuses the watch"); n != 2 {
		t.Errorf("the log says %d times that a watch of Jobs or of pods is refused", n)
	}
}

func TestAServerThatMayNotListSaysWhichRightItLacks(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	s := launch(t, namespace, "--kubeconfig="+account(t, namespace, lacking("list", "pods")))
	eventually(t, "it says which right it lacks", func() bool {
		if s.Status(t, "/readyz") == 0 {
			return false // it does not listen yet
		}
		response, err := http.Get("http://" + s.Address + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode == http.StatusOK {
			t.Fatal("it is ready")
		}
		return strings.Contains(string(text), `cannot list resource "pods"`)
	})
}

func TestQueuedPullsSayWhyNobodyLeads(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	s := startServer(t, namespace, "--kubeconfig="+account(t, namespace, lacking("get", "leases")))
	id := s.startOne(t, env.app).ID
	eventually(t, "it says why", func() bool {
		p := s.pull(t, id)
		return p.is("QUEUED") && strings.Contains(p.Message, `cannot get resource "leases"`)
	})
}

func TestQueuedPullsSayThatPullwatchMayNotStartThem(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	s := startServer(t, namespace, "--kubeconfig="+account(t, namespace, lacking("patch", "jobs", "jobs/status")))
	id := s.startOne(t, env.app).ID
	eventually(t, "it says why", func() bool {
		p := s.pull(t, id)
		return p.is("QUEUED") && strings.Contains(p.Message, `cannot patch resource "jobs"`)
	})
}

func TestQueuedPullsSayWhoHoldsTheLeaseAndStartsNone(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	image, digest := source.image(t, "app:1", 1000, 1)
	namespace := newNamespace(t)
	release := holdLease(t, namespace, "another-program")
	s := startServer(t, namespace, insecure(source.host)...)
	id := s.startOne(t, image).ID
	eventually(t, "it says who holds the Lease", func() bool {
		p := find(s.activePulls(t), id)
		return p != nil && p.is("QUEUED") && strings.Contains(p.Message, "another-program, which holds the Lease, starts no pull")
	})
	release()
	checkCopied(t, s.outcome(t, id), digest)
}

// holdLease holds the Lease of pullwatch's leader until the function that it returns is called, or the test ends.
func holdLease(t *testing.T, namespace, holder string) (release func()) {
	t.Helper()
	held := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pullwatch"}, Client: env.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: holder},
		},
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: time.Second, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { close(held) }, OnStoppedLeading: func() {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { elector.Run(ctx) })
	release = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(release)
	select {
	case <-held:
	case <-time.After(patience):
		t.Fatal("the Lease cannot be had")
	}
	return release
}
