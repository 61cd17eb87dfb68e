package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"moraine/test/internal/load"
)

// requestsMetric is the server's own count of its answers.
const requestsMetric = "moraine_requests_total"

// observations are what -profiles writes of each load, and the setting of the
// Go runtime the server is given for it.
var observations = []struct {
	kind, ending, debug string
	take                func(ctx context.Context, r *running, kind, name string, d time.Duration) error
}{
	{"profile", ".pb.gz", "", takeProfile},
	{"allocs", ".pb.gz", "memprofilerate=4096", takeProfile}, // every 4 KiB, since little is allocated in so short a time
	{"syscalls", ".txt", "", countSyscalls},
}

// profile observes Moraine under load. It comes after the measurements and
// changes none of them.
func (c *comparison) profile(ctx context.Context) error {
	if err := os.MkdirAll(c.profiles, 0o755); err != nil {
		return err
	}
	before := os.Getenv("GODEBUG")
	for _, o := range observations {
		if err := os.Setenv("GODEBUG", o.debug); err != nil {
			return err
		}
		err := c.observe(ctx, func(r *running, load string) error {
			return o.take(ctx, r, o.kind, filepath.Join(c.profiles, load+"."+o.kind+o.ending), c.duration)
		})
		if err := errors.Join(err, os.Setenv("GODEBUG", before)); err != nil {
			return fmt.Errorf("%s: %w", o.kind, err)
		}
	}
	return nil
}

// observe runs a server and calls take during each load.
func (c *comparison) observe(ctx context.Context, take func(r *running, load string) error) (err error) {
	all, stop, err := c.start(ctx, c.peers[:1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	r := all[0]
	during := func(name string, job load.Job) error {
		job.Addr, job.Idle = r.addr, idleMax
		taken := make(chan error)
		go func() {
			pause(ctx, time.Second) // until the load is even
			taken <- take(r, name)
		}()
		_, err := c.corpus.Run(ctx, job)
		return errors.Join(err, <-taken)
	}
	if slices.Contains(c.run, "small") {
		conns := slices.Max(c.conns)
		for _, size := range c.sizes {
			job := load.Job{Conns: conns, Want: r.statuses().put, Duration: c.duration + 3*time.Second, Next: r.putter("profile", c.pool(size))}
			if err := during(fmt.Sprintf("put-%d-%d", size, conns), job); err != nil {
				return err
			}
		}
	}
	if slices.Contains(c.run, "large") {
		return c.observeLarge(ctx, r, during)
	}
	return nil
}

// observeLarge does the same for an object in parts and its retrieval.
func (c *comparison) observeLarge(ctx context.Context, r *running, during func(string, load.Job) error) error {
	g, ok := r.protocol.(*glacier)
	if !ok {
		return errors.New("the first peer serves no vaults")
	}
	if err := g.begin(ctx); err != nil {
		return err
	}
	parts := c.corpus.Bodies(int(c.largeMiB<<20/largePart), largePart)
	err := during("parts", partsJob(g, parts, r.statuses().part))
	if err != nil {
		return err
	}
	if err := g.complete(ctx, parts); err != nil {
		return err
	}
	if err := g.prepare(ctx); err != nil {
		return err
	}
	get := rangesJob(g, len(parts))
	get.Count, get.Duration = 0, c.duration+3*time.Second
	return during("get", get)
}

// takeProfile fetches one of the profiles of net/http/pprof.
func takeProfile(ctx context.Context, r *running, kind, name string, d time.Duration) error {
	url := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", r.admin, kind, max(1, int(d.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// syscalls are those that a server of this kind makes often.
var syscalls = strings.Fields(`read write readv writev pread64 pwrite64 fdatasync fsync sync_file_range fallocate openat close renameat
	io_submit io_getevents mincore statfs newfstatat fcntl fadvise64 madvise mmap sendfile64 splice futex epoll_pwait epoll_ctl nanosleep sched_yield tgkill`)

// countSyscalls counts system calls for each request with perf, which must be
// installed and allowed to.
func countSyscalls(ctx context.Context, r *running, _, name string, d time.Duration) error {
	events := "raw_syscalls:sys_enter"
	for _, s := range syscalls {
		if _, err := os.Stat("/sys/kernel/tracing/events/syscalls/sys_enter_" + s); err == nil {
			events += ",syscalls:sys_enter_" + s
		}
	}
	// perf takes a while to attach: the shell says when counting begins and ends.
	script := "echo begin; sleep " + strconv.Itoa(max(1, int(d.Seconds()))) + "; echo end"
	cmd := exec.CommandContext(ctx, "perf", "stat", "-x", ",", "-e", events, "-p", strconv.Itoa(r.pid), "-o", name, "--", "sh", "-c", script)
	said, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "no system calls are counted:", err)
		return nil
	}
	var answered []float64
	for lines := bufio.NewScanner(said); lines.Scan(); {
		n, _ := r.metric(ctx, requestsMetric)
		answered = append(answered, n)
	}
	if err := cmd.Wait(); err != nil || len(answered) != 2 || answered[1] == answered[0] {
		return fmt.Errorf("perf: %v after %v answers", err, answered)
	}
	return perRequest(name, answered[1]-answered[0])
}

// perRequest replaces counts in the file of perf by counts for each request.
func perRequest(name string, requests float64) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%.0f requests\n", requests)
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(line, ",")
		if len(fields) < 3 {
			continue
		}
		n, err := strconv.ParseFloat(fields[0], 64)
		if err != nil || n/requests < 0.0005 {
			continue
		}
		_, call, _ := strings.Cut(fields[2], "sys_enter")
		fmt.Fprintf(&b, "%9.3f %s\n", n/requests, strings.TrimPrefix(call, "_"))
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}
