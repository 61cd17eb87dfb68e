package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"moraine/test/internal/load"
	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

const (
	corpusSize = 64 << 20
	poolMax    = 4096      // different bodies of one size
	poolBytes  = 256 << 20 // and how much they may be together
	cellBytes  = 2 << 30   // no cell of single uploads moves more
	warmUp     = 300 * time.Millisecond
	idleMax    = 5 * time.Minute // a reply to a large request may take long
)

// comparison is one run of -compare.
type comparison struct {
	options
	dir    string
	corpus *load.Corpus
	peers  []peer
	record record
}

// compare measures the peers in turn, round after round, and prints what came
// of it.
func compare(ctx context.Context, o options) (err error) {
	c := &comparison{options: o}
	if c.dir, err = os.MkdirTemp(o.data, "moraine-bench-"); err != nil {
		return err
	}
	if !o.keep {
		defer os.RemoveAll(c.dir)
	}
	if c.corpus, err = load.NewCorpus(corpusSize); err != nil {
		return err
	}
	defer c.corpus.Close()
	if c.peers, err = peers(ctx, o.peers, c.dir, o.serverArgs); err != nil {
		return err
	}
	steps := map[string]func(context.Context) error{"small": c.puts, "large": c.large, "archives": c.inventory}
	for _, name := range o.run {
		if steps[name] == nil {
			return fmt.Errorf("no scenario %q in a comparison", name)
		}
		if err := steps[name](ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if o.profiles != "" {
		if err := c.profile(ctx); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	c.record.print(os.Stdout, c.options)
	return nil
}

// running is a started peer.
type running struct {
	peer
	*process
	protocol
	dir string
}

// start runs peers on new directories. stop ends them and removes those.
func (c *comparison) start(ctx context.Context, which []peer) (all []*running, stop func() error, err error) {
	stop = func() error {
		var errs []error
		for _, r := range all {
			errs = append(errs, r.process.stop())
			if !c.keep {
				errs = append(errs, os.RemoveAll(r.dir))
			}
		}
		return errors.Join(errs...)
	}
	for _, p := range which {
		dir, err := os.MkdirTemp(c.dir, p.name+"-")
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		dir = filepath.Join(dir, "data")
		proc, err := p.start(ctx, dir)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		r := &running{peer: p, process: proc, protocol: p.protocol(proc.addr), dir: filepath.Dir(dir)}
		all = append(all, r)
		if err := r.protocol.open(ctx); err != nil {
			return nil, nil, errors.Join(err, stop())
		}
	}
	return all, stop, nil
}

// turn is the order of a round: each server comes first in its turn.
func turn(all []*running, round int) []*running {
	n := round % len(all)
	return append(slices.Clone(all[n:]), all[:n]...)
}

// puts measures single uploads of every size over every number of connections.
func (c *comparison) puts(ctx context.Context) error {
	for _, size := range c.sizes {
		pool := c.pool(size)
		for round := range c.rounds {
			if err := c.putRound(ctx, size, round, pool); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *comparison) pool(size int64) []load.Body {
	return c.corpus.Bodies(int(min(poolMax, max(1, poolBytes/size))), size)
}

func (c *comparison) putRound(ctx context.Context, size int64, round int, pool []load.Body) (err error) {
	all, stop, err := c.start(ctx, c.peers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, conns := range c.conns {
		for _, r := range turn(all, round) {
			job := load.Job{Addr: r.addr, Conns: conns, Bytes: cellBytes, Want: r.statuses().put, Duration: warmUp}
			job.Next = r.putter("warm"+strconv.Itoa(conns), pool)
			if _, err := c.corpus.Run(ctx, job); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			job.Duration = time.Duration(float64(c.duration) * r.share)
			job.Next = r.putter(strconv.Itoa(conns), pool)
			if _, err := c.measure(ctx, work{kind: "put", size: size, conns: conns}, r, job); err != nil {
				return err
			}
		}
	}
	return nil
}

// putter makes uploads of the bodies of a pool, over and over.
func (r *running) putter(group string, pool []load.Body) func(conn, i int, head []byte, now time.Time) ([]byte, *load.Body) {
	return func(conn, i int, head []byte, now time.Time) ([]byte, *load.Body) {
		b := &pool[i%len(pool)]
		return r.put(head, group, conn, i, b, now), b
	}
}

// measure does a job and records what it cost the server.
func (c *comparison) measure(ctx context.Context, w work, r *running, job load.Job) (sample, error) {
	syncDisks() // nobody pays for what another left in the page cache
	before := r.reading(ctx)
	result, err := c.corpus.Run(ctx, job)
	if err != nil {
		return sample{}, fmt.Errorf("%s of %s: %w", w, r.name, err)
	}
	s := sample{Result: result, cost: between(before, r.after(ctx))}
	began := time.Now()
	syncDisks()
	s.sync = time.Since(began)
	c.record.add(w, &r.peer, s)
	return s, nil
}

// timed measures and records something that is no job of the load generator.
func (c *comparison) timed(ctx context.Context, w work, r *running, do func() error) (sample, error) {
	before, began := r.reading(ctx), time.Now()
	if err := do(); err != nil {
		return sample{}, fmt.Errorf("%s of %s: %w", w, r.name, err)
	}
	took := time.Since(began)
	s := sample{Result: load.Result{Took: []time.Duration{took}, Elapsed: took}, cost: between(before, r.after(ctx))}
	c.record.add(w, &r.peer, s)
	return s, nil
}

// reading is the state of a server before a measurement. Its peak of memory
// begins anew.
func (r *running) reading(ctx context.Context) reading {
	var now reading
	r.counts(ctx, &now)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.pid), []byte("5"), 0) // without the right the peak is that of the process
	var err error
	now.usage, err = moraineproc.ProcessUsage(r.pid)
	now.known = err == nil
	return now
}

// after is the state after a measurement; the counts come last, because asking
// for them costs the server time.
func (r *running) after(ctx context.Context) reading {
	usage, err := moraineproc.ProcessUsage(r.pid)
	now := reading{usage: usage, known: err == nil}
	r.counts(ctx, &now)
	return now
}

// counts reads what the server counts itself.
func (r *running) counts(ctx context.Context, into *reading) {
	for name, v := range map[string]*float64{fsyncMetric: &into.fsyncs, allocsMetric: &into.allocs, allocMetric: &into.memory} {
		*v = -1
		if r.metric == nil {
			continue
		}
		if n, known := r.metric(ctx, name); known {
			*v = n
		}
	}
}

// large measures an object in parts and its way back.
func (c *comparison) large(ctx context.Context) error {
	size := c.largeMiB << 20
	fmt.Fprintf(os.Stderr, "hashing %d MiB\n", c.largeMiB)
	parts := c.corpus.Bodies(int(size/largePart), largePart)
	able := slices.DeleteFunc(slices.Clone(c.peers), func(p peer) bool { return p.puts })
	for round := range c.rounds {
		n := round % len(able)
		for _, p := range append(slices.Clone(able[n:]), able[:n]...) {
			if err := c.largeObject(ctx, p, parts, round == 0); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return nil
}

func (c *comparison) largeObject(ctx context.Context, p peer, parts []load.Body, verify bool) (err error) {
	all, stop, err := c.start(ctx, []peer{p})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	r := all[0]
	m, able := r.protocol.(multipart)
	if !able {
		return errors.New("it has no uploads in parts")
	}
	if err := m.begin(ctx); err != nil {
		return err
	}
	size := int64(len(parts)) * largePart
	w := work{kind: "parts", size: largePart, conns: largeConns}
	job := partsJob(m, parts, r.statuses().part)
	job.Addr = r.addr
	sent, err := c.measure(ctx, w, r, job)
	if err != nil {
		return err
	}
	if p, able := m.(completer); able {
		done, err := c.timed(ctx, work{kind: "complete", size: size}, r, func() error { return p.complete(ctx, parts) })
		if err != nil {
			return err
		}
		sent = together(sent, done)
	}
	sent.Took = []time.Duration{sent.Elapsed} // all of it is one operation
	c.record.add(work{kind: "multipart", size: size}, &r.peer, sent)
	syncDisks()
	if p, able := m.(preparer); able {
		if _, err := c.timed(ctx, work{kind: "prepare", size: size}, r, func() error { return p.prepare(ctx) }); err != nil {
			return err
		}
	}
	return c.retrieve(ctx, r, m, parts, verify)
}

// partsJob uploads the parts of an object.
func partsJob(m multipart, parts []load.Body, want int) load.Job {
	return load.Job{
		Conns: largeConns, Count: len(parts), Want: want, Idle: idleMax,
		Next: func(_, i int, head []byte, now time.Time) ([]byte, *load.Body) {
			return m.part(head, i, &parts[i], now), &parts[i]
		},
		Done: func(i int, reply *load.Reply) error { m.partDone(i, reply); return nil },
	}
}

// rangesJob reads an object once, by ranges of the size of a part.
func rangesJob(m multipart, count int) load.Job {
	return load.Job{
		Conns: largeConns, Count: count, Want: 206, Idle: idleMax,
		Next: func(_, i int, head []byte, now time.Time) ([]byte, *load.Body) {
			return m.get(head, int64(i%count)*largePart, largePart, now), nil
		},
	}
}

// together makes one sample of two steps.
func together(a, b sample) sample {
	a.Elapsed += b.Elapsed
	a.ClientCPU += b.ClientCPU
	a.cpu += b.cpu
	a.fsyncs += b.fsyncs
	a.allocs += b.allocs
	a.memory += b.memory
	a.rssPeak = max(a.rssPeak, b.rssPeak)
	return a
}

// warmings is how often an object is read before it counts as in memory: a
// server may want to see that it is read again before it keeps it there.
const warmings = 2

// retrieve reads the object from the page cache and from the disk.
func (c *comparison) retrieve(ctx context.Context, r *running, m multipart, parts []load.Body, verify bool) error {
	size := int64(len(parts)) * largePart
	whole := load.Job{Addr: r.addr, Conns: 1, Count: 1, Want: 200, Discard: c.discard, Idle: idleMax, Next: func(_, _ int, head []byte, now time.Time) ([]byte, *load.Body) {
		return m.get(head, 0, 0, now), nil
	}}
	ranges := rangesJob(m, len(parts))
	ranges.Addr, ranges.Discard = r.addr, c.discard
	if verify && r.name != "bare" { // which keeps the parts as they come
		if err := verifyRanges(ctx, r, m, parts); err != nil {
			return err
		}
	}
	for range warmings {
		if _, err := c.corpus.Run(ctx, whole); err != nil {
			return err
		}
	}
	for _, cold := range []bool{false, true} {
		for _, job := range []load.Job{whole, ranges} {
			w := work{kind: "get", size: largePart, conns: job.Conns, cold: cold}
			if job.Conns == 1 {
				w.size = size
			}
			if cold {
				if err := dropCaches(r.dir); err != nil {
					return err
				}
			}
			if _, err := c.measure(ctx, w, r, job); err != nil {
				return err
			}
		}
	}
	return nil
}

// verifyRanges reads every part back and hashes it.
func verifyRanges(ctx context.Context, r *running, m multipart, parts []load.Body) error {
	conn, err := wire.Dial(ctx, r.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(idleMax)); err != nil {
		return err
	}
	for i := range parts {
		if _, err := conn.Write(m.get(nil, int64(i)*largePart, largePart, time.Now())); err != nil {
			return err
		}
		sum := sha256.New()
		resp, err := conn.Read("GET", sum)
		if err != nil {
			return err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); resp.Status != 206 || got != parts[i].Linear {
			return fmt.Errorf("part %d came back with status %d and the hash %s, want 206 and %s", i, resp.Status, got, parts[i].Linear)
		}
	}
	return nil
}

// inventory measures the inventory of a vault of many archives, which only
// Moraine has.
func (c *comparison) inventory(ctx context.Context) (err error) {
	all, stop, err := c.start(ctx, c.peers[:1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	r := all[0]
	pool := c.corpus.Bodies(poolMax, tinySize)
	job := load.Job{Addr: r.addr, Conns: tinyConns, Count: c.archives, Want: r.statuses().put, Next: r.putter("", pool)}
	if _, err := c.measure(ctx, work{kind: "put", size: tinySize, conns: tinyConns}, r, job); err != nil {
		return err
	}
	g, ok := r.protocol.(*glacier)
	if !ok {
		return errors.New("the first peer serves no vaults")
	}
	g.client.Close() // the server has hung up long since
	for range c.rounds {
		var id string
		_, err := c.timed(ctx, work{kind: "inventory", size: int64(c.archives)}, r, func() (err error) {
			id, err = awaitJob(ctx, g.client, bucket, vaultclient.JobRequest{Type: "inventory-retrieval", Format: "JSON"})
			return err
		})
		if err != nil {
			return err
		}
		_, err = c.timed(ctx, work{kind: "inventory output", size: int64(c.archives)}, r, func() error {
			return takeInventory(ctx, g.client, id, c.archives)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeInventory reads an inventory and counts its archives.
func takeInventory(ctx context.Context, c *vaultclient.Client, job string, want int) error {
	seen := &counter{word: []byte(`"ArchiveId"`)}
	if _, err := c.JobOutput(ctx, bucket, job, "", seen); err != nil {
		return err
	}
	if seen.found != want {
		return fmt.Errorf("the inventory lists %d archives, want %d", seen.found, want)
	}
	return nil
}
