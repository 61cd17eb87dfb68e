package cluster

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gateway "moraine/internal/gatewaytest"
	"moraine/internal/pgtest"
	"moraine/test/internal/moraineproc"
	"moraine/test/internal/wire"
)

var (
	loadFor = flag.Duration("load", 5*time.Second, "how long each disturbance lasts")
	outage  = flag.Duration("outage", 5*time.Second, "how long the store is away, and the network to the database cut")
	report  = flag.Bool("report", false, "run the report")
)

var binary, storeBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(moraineproc.Main(m.Run, &binary, func(ctx context.Context) (err error) {
		storeBinary, err = gateway.Build(ctx)
		return err
	}))
}

const (
	bucket   = "glacier"
	database = "moraine"
	vault    = "cluster"
)

// deployment is nodes behind a proxy, with their database and their store.
type deployment struct {
	*testing.T
	dir   string
	pg    *pgtest.Cluster
	store *gateway.Server
	front *relay // round robin
	bytes *relay // to the store

	mu    sync.Mutex // guards the rest
	nodes []*node
	made  int
	kills int
}

// node is one server. What it has is its own network to the database.
type node struct {
	server *moraineproc.Server
	rows   *relay
	number int
}

// deploy starts n nodes.
func deploy(t *testing.T, n int) *deployment {
	t.Helper()
	d := &deployment{T: t, dir: t.TempDir(), pg: pgtest.Start(t)}
	if err := d.pg.Do("CREATE DATABASE " + database); err != nil {
		t.Fatal(err)
	}
	var err error
	buckets := filepath.Join(d.dir, "buckets")
	if err := os.MkdirAll(filepath.Join(buckets, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	if d.store, err = gateway.Start(t.Context(), storeBinary, buckets); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.store.Stop)
	d.bytes = newRelay(t, target{"tcp", strings.TrimPrefix(d.store.URL, "http://")})
	d.front = newRelay(t)
	t.Cleanup(d.stop)
	var all sync.WaitGroup
	for range n {
		// Together, as a cluster is rolled out: one of them makes the schema.
		all.Go(func() { d.add() })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return d
}

// add starts a node with an empty directory and has the proxy send to it.
func (d *deployment) add() {
	d.Helper()
	d.mu.Lock()
	d.made++
	number := d.made
	d.mu.Unlock()
	dir := filepath.Join(d.dir, fmt.Sprintf("node-%d", number))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.Error(err)
		return
	}
	key := filepath.Join(d.dir, "master.key")
	d.mu.Lock()
	if _, err := os.Stat(key); err != nil {
		// Nodes keep nothing, so they are given the key that seals secrets.
		if err := os.WriteFile(key, []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), 0o600); err != nil {
			d.Error(err)
		}
	}
	d.mu.Unlock()
	// The socket of the cluster is what the relay of the node leads to.
	at, err := url.Parse(d.pg.URL(database))
	if err != nil {
		d.Error(err)
		return
	}
	rows := newRelay(d.T, target{"unix", filepath.Join(at.Query().Get("host"), ".s.PGSQL.5432")})
	server, err := moraineproc.Start(d.Context(), moraineproc.Config{
		Binary: binary, Data: dir,
		Args: []string{
			"--meta", "postgres://" + at.User.Username() + "@" + rows.addr() + "/" + database + "?sslmode=disable",
			"--blobs", "s3://" + bucket + "/archives", "--s3-endpoint", "http://" + d.bytes.addr(), "--s3-region", gateway.Region, "--s3-path-style",
			"--master-key-file", key, "--audit-destination", "off",
		},
		Env: []string{"MORAINE_S3_ACCESS_KEY_ID=" + gateway.KeyID, "MORAINE_S3_SECRET_ACCESS_KEY=" + gateway.Secret},
	})
	if err != nil {
		d.Errorf("node %d: %v", number, err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes = append(d.nodes, &node{server: server, rows: rows, number: number})
	d.point()
}

// point has the proxy send to the nodes there are. Called with mu held.
func (d *deployment) point() {
	var to []target
	for _, n := range d.nodes {
		to = append(to, target{"tcp", n.server.Addr})
	}
	d.front.set(to)
}

// replace kills the oldest node and starts another one. The proxy learns of it
// when it is dead, as proxies do.
func (d *deployment) replace() {
	d.Helper()
	d.mu.Lock()
	victim := d.nodes[0]
	d.mu.Unlock()
	victim.server.Kill()
	d.mu.Lock()
	d.kills++
	d.nodes = slices.Delete(d.nodes, 0, 1)
	d.point()
	d.mu.Unlock()
	d.add()
}

func (d *deployment) stop() {
	for _, n := range d.nodes {
		if d.Failed() {
			d.Logf("node %d says at the end:\n%s", n.number, lastLines(n.server.Log(), 15))
		}
		if err := n.server.Stop(context.WithoutCancel(d.Context())); err != nil {
			d.Errorf("node %d: %v", n.number, err)
		}
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// credentials are those of the root of every node.
func credentials() *wire.Credentials {
	return &wire.Credentials{KeyID: moraineproc.KeyID, Secret: moraineproc.Secret, Region: moraineproc.Region}
}

// TestCluster is the proof. Each disturbance has a load of its own, which must go
// on, and is followed by a reading of everything.
func TestCluster(t *testing.T) {
	t.Parallel()
	d := deploy(t, 3)
	l := newLedger(d)
	for _, disturbance := range []struct {
		name string
		do   func(ctx context.Context)
	}{
		{"nodes are killed and replaced", func(ctx context.Context) {
			for ctx.Err() == nil {
				d.replace()
			}
		}},
		{"the database crashes", func(ctx context.Context) {
			if err := d.pg.Crash(); err != nil {
				t.Error(err)
			}
			pause(ctx, *loadFor/4)
			if err := d.pg.Run(); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
		}},
		{"the store is away", func(ctx context.Context) {
			d.bytes.setCut(true)
			pause(ctx, *outage)
			d.bytes.setCut(false)
			<-ctx.Done()
		}},
		{"a node is cut off from the database", func(ctx context.Context) {
			d.nodes[1].rows.setCut(true)
			pause(ctx, *outage)
			d.nodes[1].rows.setCut(false)
			<-ctx.Done()
		}},
	} {
		before := l.figures()
		l.during(disturbance.do)
		l.readAll()
		after := l.figures()
		t.Logf("%s: %d archives acknowledged, of them %d in parts; %d requests refused or cut, all repeated; %d kills so far; lost 0",
			disturbance.name, after.archives-before.archives, after.multipart-before.multipart, after.again-before.again, d.kills)
		if after.multipart == before.multipart {
			t.Errorf("%s: no upload in parts was completed", disturbance.name)
		}
	}
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
