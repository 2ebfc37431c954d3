package e2e

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// needLab skips a test that does something to the cluster, or looks at its node's files, unless it is the lab.
func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("E2E_REGISTRY") != "" {
		t.Skip("the cluster is not the lab")
	}
}

// lab runs lab/lab, with more variables for its environment.
func lab(t *testing.T, args []string, environment ...string) {
	t.Helper()
	cmd := exec.Command("lab/lab", args...)
	cmd.Env = append(os.Environ(), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("lab %v: %v\n%s", args, err, out)
	}
}

// restartKubelet stops the kubelet and starts it with more lines in its configuration. It may take a moment until the
// kubelet answers.
func restartKubelet(t *testing.T, config ...string) {
	t.Helper()
	lab(t, []string{"stop", "kubelet"})
	lab(t, []string{"start"}, "KUBELET_CONFIG="+strings.Join(config, "\n"))
}

// stopAPIServer stops the API server, which startAPIServer or the end of the test starts again.
func stopAPIServer(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { startAPIServer(t) })
	lab(t, []string{"stop", "apiserver"})
}

func startAPIServer(t *testing.T) {
	t.Helper()
	lab(t, []string{"start"})
}

// configureKubelet restarts the kubelet with more lines in its configuration, and without them after the test.
func configureKubelet(t *testing.T, config ...string) {
	t.Helper()
	t.Cleanup(func() { restartKubelet(t) })
	restartKubelet(t, config...)
}

// logFiles returns the files that the node keeps of the first run of a pod's container, the oldest first.
func logFiles(t *testing.T, pod *corev1.Pod, container string) []string {
	t.Helper()
	current := filepath.Join("/var/log/pods", pod.Namespace+"_"+pod.Name+"_"+string(pod.UID), container, "0.log")
	files, err := filepath.Glob(current + ".*")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, ".tmp") })
	slices.Sort(files) // a rotated file is named for the moment of its rotation
	// While a file is compressed there are two of it.
	files = slices.CompactFunc(files, func(a, b string) bool { return strings.TrimSuffix(a, ".gz") == strings.TrimSuffix(b, ".gz") })
	return append(files, current)
}

// nodeLog returns the lines of these files as kubectl logs --timestamps prints those of a log.
func nodeLog(t *testing.T, files []string) []string {
	t.Helper()
	var lines []string
	for _, file := range files {
		for line := range strings.Lines(readLogFile(t, file)) {
			fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
			if len(fields) != 4 || fields[2] != "F" {
				t.Fatalf("%s has the line %.200q, which is not a whole one", file, line)
			}
			at, err := time.Parse(time.RFC3339Nano, fields[0])
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			lines = append(lines, at.UTC().Format(time.RFC3339Nano)+" "+fields[3])
		}
	}
	return lines
}

// readLogFile reads a file that has been compressed if its name says so.
func readLogFile(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(file, ".gz") {
		return string(content)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if content, err = io.ReadAll(unpacked); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return string(content)
}
