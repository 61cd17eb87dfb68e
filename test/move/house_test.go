package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gateway "moraine/internal/gatewaytest"
	"moraine/internal/pgtest"
	"moraine/test/internal/moraineproc"
)

const (
	bucket = "glacier"
	// delays let a retrieval begin before a move and end after it, and another one
	// be under way all the time.
	delays     = "expedited=0s,standard=5s,bulk=24h"
	commandMax = 5 * time.Minute
)

// world is the engines that houses are built on, and the fuse on the way there.
type world struct {
	*testing.T
	dir         string
	pg          *pgtest.Cluster
	rows, bytes *relay
	fuse        *fuse
	encryption  string // settings; "" for none
	made        int    // houses
}

func newWorld(t *testing.T, encrypted bool) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), pg: pgtest.Start(t), fuse: &fuse{}}
	buckets := filepath.Join(w.dir, "buckets")
	if err := os.MkdirAll(filepath.Join(buckets, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := gateway.Start(t.Context(), storeBinary, buckets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Stop)
	at, err := url.Parse(w.pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	w.rows = newRelay(t, "unix", filepath.Join(at.Query().Get("host"), ".s.PGSQL.5432"), w.fuse)
	w.bytes = newRelay(t, "tcp", strings.TrimPrefix(store.URL, "http://"), w.fuse)
	w.write("s3", fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", gateway.KeyID, gateway.Secret))
	if encrypted {
		key := filepath.Join(w.dir, "archives.key")
		if out, err := exec.Command(binary, "encryption", "new-key", key).CombinedOutput(); err != nil {
			t.Fatalf("new key: %v\n%s", err, out)
		}
		w.encryption = "encryption:\n  key_file: " + key + "\n"
	}
	return w
}

// write makes a file and returns its path.
func (w *world) write(name, text string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

// house is a place to live in: settings and a data directory.
type house struct {
	*world
	name, dir, file string
	text            string // of the file
	shared          bool
}

// build makes the settings of a house; of one with rows in PostgreSQL and bytes
// in the bucket, if it is to be shared.
func (w *world) build(shared bool) *house {
	w.Helper()
	w.made++
	h := &house{world: w, name: fmt.Sprintf("house%d", w.made), shared: shared}
	h.dir = filepath.Join(w.dir, h.name)
	text := "data: " + h.dir + "\njob:\n  delay: " + delays + "\n" + w.encryption
	if shared {
		if err := w.pg.Do("CREATE DATABASE " + h.name); err != nil {
			w.Fatal(err)
		}
		at, err := url.Parse(w.pg.URL(h.name))
		if err != nil {
			w.Fatal(err)
		}
		database := w.write(h.name+".database", "postgres://"+at.User.Username()+"@"+w.rows.at()+"/"+h.name+"?sslmode=disable&lock_timeout=2s\n")
		text += "meta_file: " + database + "\nmaster_key_file: " + h.master() +
			"\nblobs: s3://" + bucket + "/" + h.name + "\ns3:\n  endpoint: http://" + w.bytes.at() + "\n  region: " + moraineproc.Region +
			"\n  path_style: true\n  credentials_file: " + filepath.Join(w.dir, "s3") + "\n"
	}
	h.text, h.file = text, w.write(h.name+".yaml", text)
	return h
}

// master is where servers that share a house look for the master key.
func (h *house) master() string { return filepath.Join(h.world.dir, h.name+".master") }

func (h *house) config() moraineproc.Config {
	return moraineproc.Config{Binary: binary, Data: h.dir, Args: []string{"--config", h.file}}
}

// serve starts the server of the house.
func (h *house) serve() *moraineproc.Server {
	h.Helper()
	s, err := moraineproc.Start(h.Context(), h.config())
	if err != nil {
		h.Fatalf("%s: %v", h.name, err)
	}
	return s
}

// opens tries to start the server of the house, and returns it, or what it said
// when it refused.
func (h *house) opens() (*moraineproc.Server, string) {
	h.Helper()
	s, err := moraineproc.Start(h.Context(), h.config())
	if err != nil {
		return nil, err.Error()
	}
	return s, ""
}

// refuses demands that the house is not served, for a reason.
func (h *house) refuses(why string) {
	h.Helper()
	s, said := h.opens()
	if s != nil {
		s.Kill()
		h.Fatalf("%s is served", h.name)
	}
	if !strings.Contains(said, why) {
		h.Fatalf("%s refuses to be served without the words %q:\n%s", h.name, why, said)
	}
}

func (h *house) stop(s *moraineproc.Server) {
	h.Helper()
	if err := s.Stop(context.WithoutCancel(h.Context())); err != nil {
		h.Fatalf("%s: %v", h.name, err)
	}
}

// outcome is what became of a command.
type outcome struct {
	stdout, stderr strings.Builder
	status         int // -1 if it was killed
}

// command prepares a command of an operator.
func (w *world) command(args ...string) (*exec.Cmd, *outcome) {
	o := &outcome{}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &o.stdout, &o.stderr
	return cmd, o
}

// finish waits for a command that was started.
func (w *world) finish(cmd *exec.Cmd, o *outcome) *outcome {
	w.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.NewTimer(commandMax)
	defer limit.Stop()
	var err error
	select {
	case err = <-ended:
	case <-limit.C:
		_ = cmd.Process.Kill() // it may end just now
		<-ended
		w.Fatalf("%v does not end\n%s", cmd.Args, o.stderr.String())
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		o.status = exit.ExitCode()
	case err != nil:
		w.Fatal(err)
	}
	return o
}

// moraine runs a command to its end.
func (w *world) moraine(args ...string) *outcome {
	w.Helper()
	cmd, o := w.command(args...)
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	return w.finish(cmd, o)
}

// reply is what `moraine migrate --json` prints.
type reply struct {
	Blobs, Bytes, Copied, Present, Removed, Damaged int64
	Rows                                            map[string]int64
	Done                                            bool
}

func (o *outcome) reply(t testing.TB) (r reply) {
	t.Helper()
	if err := json.Unmarshal([]byte(o.stdout.String()), &r); err != nil || o.status != 0 {
		t.Fatalf("migrate: status %d, %v\n%s%s", o.status, err, o.stdout.String(), o.stderr.String())
	}
	return r
}

// migrating are the words of a move.
func migrating(from, to *house, more ...string) []string {
	return append([]string{"migrate", "--from", from.file, "--to", to.file, "--json", "--read-back"}, more...)
}

var count = regexp.MustCompile(`(?m)^(blobs whole|orphans|extents present|archives complete): (\d+)`)

// whole checks a house that nobody serves: nothing is damaged, and if it is new,
// there is nothing that no row names.
func (h *house) whole(fresh bool) {
	h.Helper()
	o := h.look("fsck")
	got := map[string]string{}
	for _, m := range count.FindAllStringSubmatch(o.stdout.String(), -1) {
		got[m[1]] = m[2]
	}
	if o.status != 0 || got["extents present"] == "" {
		h.Fatalf("fsck of %s: status %d\n%s%s", h.name, o.status, o.stdout.String(), o.stderr.String())
	}
	// A copy that was made twice is a whole blob that is no extent.
	if fresh && (got["orphans"] != "0" || got["blobs whole"] != got["extents present"]) {
		h.Errorf("%s holds bytes that no row means:\n%s", h.name, o.stdout.String())
	}
}

// outbox lists the messages of a house that nobody serves.
func (h *house) outbox() string {
	h.Helper()
	o := h.look("notify", "ls")
	if o.status != 0 {
		h.Fatalf("notify ls of %s: %s", h.name, o.stderr.String())
	}
	return o.stdout.String()
}

// look runs a command that looks at the house, with the variables of its server.
func (h *house) look(args ...string) *outcome {
	h.Helper()
	cmd, o := h.command(append(args, "--config", h.file)...)
	cmd.Env = append(os.Environ(),
		"MORAINE_ROOT_ACCESS_KEY_ID="+moraineproc.KeyID, "MORAINE_ROOT_SECRET_ACCESS_KEY="+moraineproc.Secret, "MORAINE_ACCOUNT_ID="+moraineproc.Account)
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	return h.finish(cmd, o)
}
