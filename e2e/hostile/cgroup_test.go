package hostile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// memoryCgroup is a cgroup of the test's own in which processes have a limit of memory. Version 1 of cgroups does not
// count what the kernel holds for sockets as memory; version 2, which most clusters have, does.
type memoryCgroup struct {
	dir   string
	files cgroupFiles
}

// cgroupFiles are where a version of cgroups keeps what is needed. The limits beyond the first one are left out where
// there are none.
type cgroupFiles struct {
	version     int
	root        string
	limit       string
	otherLimits map[string]string
	most        string
	// failures and killed are fields of files: a name in front of the number, or none.
	failures, killed cgroupField
	// sockets holds the most that sockets took.
	sockets cgroupField
}

type cgroupField struct{ file, name string }

var cgroupVersions = []cgroupFiles{
	{
		version: 1, root: "/sys/fs/cgroup/memory",
		limit: "memory.limit_in_bytes", most: "memory.max_usage_in_bytes",
		otherLimits: map[string]string{
			"memory.memsw.limit_in_bytes": strconv.Itoa(memoryLimit),
			// What sockets take is counted, by itself, once there is a limit for it: one that is never reached.
			"memory.kmem.tcp.limit_in_bytes": strconv.Itoa(64 << 30),
		},
		failures: cgroupField{file: "memory.failcnt"}, killed: cgroupField{"memory.oom_control", "oom_kill"},
		sockets: cgroupField{file: "memory.kmem.tcp.max_usage_in_bytes"},
	},
	secondVersion("/sys/fs/cgroup"),
	secondVersion("/sys/fs/cgroup/unified"),
}

func secondVersion(root string) cgroupFiles {
	return cgroupFiles{
		version: 2, root: root,
		limit: "memory.max", most: "memory.peak", otherLimits: map[string]string{"memory.swap.max": "0"},
		failures: cgroupField{"memory.events", "max"}, killed: cgroupField{"memory.events", "oom_kill"},
	}
}

// newMemoryCgroup makes a cgroup with the memory limit for the time of the test.
func newMemoryCgroup(t *testing.T) (*memoryCgroup, error) {
	var errs []error
	for _, files := range cgroupVersions {
		c := &memoryCgroup{filepath.Join(files.root, fmt.Sprintf("pullwatch-hostile-%d", os.Getpid())), files}
		if files.version == 2 {
			// Most systems have done that.
			_ = os.WriteFile(filepath.Join(files.root, "cgroup.subtree_control"), []byte("+memory"), 0)
		}
		if err := os.Mkdir(c.dir, 0o755); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := c.write(files.limit, strconv.Itoa(memoryLimit)); err != nil {
			errs = append(errs, err, os.Remove(c.dir))
			continue
		}
		for name, limit := range files.otherLimits {
			_ = c.write(name, limit)
		}
		t.Cleanup(func() {
			if err := os.Remove(c.dir); err != nil {
				t.Error(err)
			}
		})
		return c, nil
	}
	return nil, errors.Join(errs...)
}

func (c *memoryCgroup) write(name, value string) error {
	file, err := os.OpenFile(filepath.Join(c.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

// read returns a number, -1 where the kernel does not keep it.
func (c *memoryCgroup) read(field cgroupField) int {
	content, err := os.ReadFile(filepath.Join(c.dir, field.file))
	if err != nil || field.file == "" {
		return -1
	}
	text := string(content)
	if field.name != "" {
		found := regexp.MustCompile(`(?m)^` + field.name + ` (\d+)$`).FindStringSubmatch(text)
		if found == nil {
			return -1
		}
		text = found[1]
	}
	number, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return -1
	}
	return number
}

// inside returns a command that becomes the given one in the cgroup.
func (c *memoryCgroup) inside(command ...string) []string {
	return append([]string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, c.dir}, command...)
}
