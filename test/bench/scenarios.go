package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
)

const (
	largePart  = 16 << 20
	largeConns = 4
	gib        = 1 << 30
	gibParts   = 8
	tinySize   = 100
	tinyConns  = 64
)

// small measures durable uploads of small archives.
func (b *bench) small(ctx context.Context) error {
	vault, err := b.vault(ctx, "small")
	if err != nil {
		return err
	}
	t := newTable("size", "connections", "archives", "archives/s", "MB/s", "p50", "p99", "fsyncs/archive", "CPU s", "CPU ms/archive", "peak RSS MiB")
	defer t.flush()
	for _, size := range b.sizes {
		pool := b.payloads(int(min(4096, (256<<20)/size)), size)
		for _, conns := range b.conns {
			before := b.read(ctx, true)
			took, elapsed, err := b.drive(ctx, conns, b.duration, 0, func(ctx context.Context, c *vaultclient.Client, i int) error {
				_, err := c.UploadArchive(ctx, vault, "bench", pool[i%len(pool)])
				return err
			})
			if err != nil {
				return err
			}
			used := between(before, b.read(ctx, false))
			slices.Sort(took)
			ops := len(took)
			each := "?"
			if used.known {
				each = fmt.Sprintf("%.2f", used.cpu.Seconds()*1000/float64(max(1, ops)))
			}
			t.row(size, conns, ops, fmt.Sprintf("%.0f", float64(ops)/elapsed.Seconds()), mbps(int64(ops)*size, elapsed),
				round(percentile(took, 0.50)), round(percentile(took, 0.99)), used.fsyncsPer(ops), used.cpuText(), each, used.rssText())
		}
	}
	return nil
}

// large measures one multipart upload and its download through a job.
func (b *bench) large(ctx context.Context) error {
	vault, err := b.vault(ctx, "large")
	if err != nil {
		return err
	}
	count := int(b.largeMiB << 20 / largePart)
	fmt.Printf("hashing %d MiB\n", b.largeMiB)
	parts := b.payloads(count, largePart)
	c := b.client()
	defer c.Close()
	upload, err := c.InitiateUpload(ctx, vault, "bench", largePart)
	if err != nil {
		return err
	}
	size := b.largeMiB << 20
	t := newTable("step", "MiB", "seconds", "MB/s", "CPU s", "CPU s/GB", "fsyncs", "peak RSS MiB")
	defer t.flush()
	step := func(name string, bytes int64, work func() error) error {
		before, began := b.read(ctx, true), time.Now()
		if err := work(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		took := time.Since(began)
		used := between(before, b.read(ctx, false))
		t.row(name, bytes>>20, fmt.Sprintf("%.2f", took.Seconds()), mbps(bytes, took), used.cpuText(), perGB(used.cpu, bytes), used.fsyncsPer(1), used.rssText())
		return nil
	}
	err = step(fmt.Sprintf("upload of %d parts over %d connections", count, largeConns), size, func() error {
		_, _, err := b.drive(ctx, largeConns, 0, count, func(ctx context.Context, c *vaultclient.Client, i int) error {
			return c.UploadPart(ctx, vault, upload, int64(i)*largePart, parts[i])
		})
		return err
	})
	if err != nil {
		return err
	}
	trees := make([]string, count)
	for i := range parts {
		trees[i] = parts[i].Tree
	}
	tree := treehash.Combine(trees)
	var archive string
	err = step("completion", size, func() (err error) {
		archive, err = c.CompleteUpload(ctx, vault, upload, size, tree)
		return err
	})
	if err != nil {
		return err
	}
	var job string
	err = step("retrieval job", size, func() (err error) {
		job, err = awaitJob(ctx, c, vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: archive})
		return err
	})
	if err != nil {
		return err
	}
	return step("download over one connection", size, func() error { return b.download(ctx, c, vault, job, size, tree, parts) })
}

// download reads a job's output, hashing it if asked to.
func (b *bench) download(ctx context.Context, c *vaultclient.Client, vault, job string, size int64, tree string, parts []vaultclient.Payload) error {
	sink := io.Discard
	sum := sha256.New()
	if b.verify {
		sink = sum
	}
	resp, err := c.JobOutput(ctx, vault, job, "", sink)
	if err != nil {
		return err
	}
	if got := resp.Get("x-amz-sha256-tree-hash"); resp.BodySize != size || got != tree {
		return fmt.Errorf("got %d bytes with tree hash %s, want %d with %s", resp.BodySize, got, size, tree)
	}
	if !b.verify {
		return nil
	}
	want := sha256.New()
	for _, p := range parts {
		for _, piece := range p.Pieces {
			want.Write(piece)
		}
	}
	if !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
		return errors.New("the download differs from the upload")
	}
	return nil
}

// awaitJob starts a job and waits for its success.
func awaitJob(ctx context.Context, c *vaultclient.Client, vault string, request vaultclient.JobRequest) (string, error) {
	id, err := c.InitiateJob(ctx, vault, request)
	if err != nil {
		return "", err
	}
	done, err := c.AwaitJob(ctx, vault, id)
	if err == nil && done.StatusCode != "Succeeded" {
		err = fmt.Errorf("job ended %s", done.StatusCode)
	}
	return id, err
}

// parts sends eight parts of a GiB at once and looks at the server's memory.
func (b *bench) parts(ctx context.Context) error {
	vault, err := b.vault(ctx, "parts")
	if err != nil {
		return err
	}
	c := b.client()
	defer c.Close()
	upload, err := c.InitiateUpload(ctx, vault, "bench", gib)
	if err != nil {
		return err
	}
	fmt.Printf("hashing %d parts of a GiB\n", gibParts)
	parts := make([]vaultclient.Payload, gibParts)
	for i := range parts {
		pieces := [][]byte{binary.BigEndian.AppendUint64(nil, uint64(i)), b.base[8:]}
		for range gib/len(b.base) - 1 {
			pieces = append(pieces, b.base)
		}
		parts[i] = vaultclient.NewPayload(pieces...)
	}
	before := b.read(ctx, true)
	_, took, err := b.drive(ctx, gibParts, 0, gibParts, func(ctx context.Context, c *vaultclient.Client, i int) error {
		return c.UploadPart(ctx, vault, upload, int64(i)*gib, parts[i])
	})
	if err != nil {
		return err
	}
	used := between(before, b.read(ctx, false))
	t := newTable("parts", "seconds", "MB/s", "CPU s", "CPU s/GB", "peak RSS MiB", "RSS before MiB")
	defer t.flush()
	t.row(gibParts, fmt.Sprintf("%.2f", took.Seconds()), mbps(gibParts*gib, took), used.cpuText(), perGB(used.cpu, gibParts*gib), used.rssText(), before.usage.RSSBytes>>20)
	return c.AbortUpload(ctx, vault, upload)
}

// million fills a vault with tiny archives, takes its inventory and restarts.
func (b *bench) million(ctx context.Context) error {
	vault, err := b.vault(ctx, "archives")
	if err != nil {
		return err
	}
	pool := b.payloads(4096, tinySize)
	t := newTable("step", "seconds", "per second", "CPU s", "fsyncs/archive", "peak RSS MiB")
	defer t.flush()
	before := b.read(ctx, true)
	took, elapsed, err := b.drive(ctx, tinyConns, 0, b.archives, func(ctx context.Context, c *vaultclient.Client, i int) error {
		if i%max(1, b.archives/10) == 0 {
			fmt.Fprintf(os.Stderr, "%s %d of %d archives\n", time.Now().Format(time.TimeOnly), i, b.archives)
		}
		_, err := c.UploadArchive(ctx, vault, fmt.Sprintf("archive %d", i), pool[i%len(pool)])
		return err
	})
	if err != nil {
		return err
	}
	used := between(before, b.read(ctx, false))
	t.row(fmt.Sprintf("upload of %d archives", len(took)), seconds(elapsed), fmt.Sprintf("%.0f", float64(len(took))/elapsed.Seconds()), used.cpuText(), used.fsyncsPer(len(took)), used.rssText())
	if err := b.inventories(ctx, t, vault); err != nil {
		return err
	}
	return b.restart(ctx, t)
}

// inventories times an inventory job in both formats and their downloads.
func (b *bench) inventories(ctx context.Context, t *table, vault string) error {
	c := b.client()
	defer c.Close()
	for _, format := range []string{"JSON", "CSV"} {
		before, began := b.read(ctx, true), time.Now()
		id, err := awaitJob(ctx, c, vault, vaultclient.JobRequest{Type: "inventory-retrieval", Format: format})
		if err != nil {
			return err
		}
		used := between(before, b.read(ctx, false))
		t.row("inventory job, "+format, seconds(time.Since(began)), "", used.cpuText(), "", used.rssText())
		before, began = b.read(ctx, true), time.Now()
		lines := &counter{word: []byte(`"archive `)}
		resp, err := c.JobOutput(ctx, vault, id, "", lines)
		if err != nil {
			return err
		}
		if lines.found != b.archives {
			return fmt.Errorf("the %s inventory lists %d archives, want %d", format, lines.found, b.archives)
		}
		used = between(before, b.read(ctx, false))
		t.row(fmt.Sprintf("its download, %d MiB", resp.BodySize>>20), seconds(time.Since(began)), mbps(resp.BodySize, time.Since(began))+" MB", used.cpuText(), "", used.rssText())
	}
	return nil
}

// counter counts a word in a stream.
type counter struct {
	word  []byte
	rest  []byte
	found int
}

func (c *counter) Write(p []byte) (int, error) {
	data := append(c.rest, p...)
	c.found += bytes.Count(data, c.word)
	// Keep the end that may hold the beginning of a word, but no whole one.
	c.rest = bytes.Clone(data[max(0, len(data)-len(c.word)+1):])
	return len(p), nil
}

// restart times a stop and a start of the server on what is there now.
func (b *bench) restart(ctx context.Context, t *table) error {
	if b.server == nil {
		return nil
	}
	began := time.Now()
	if err := b.server.Stop(ctx); err != nil {
		return err
	}
	t.row("stop", seconds(time.Since(began)), "", "", "", "")
	var err error
	if b.server, err = moraineproc.Start(ctx, b.config); err != nil {
		return err
	}
	b.addr = b.server.Addr
	used := b.read(ctx, false)
	t.row("start until healthy", seconds(b.server.StartTook), "", cost{cpu: used.usage.CPU, known: used.known}.cpuText(), "", used.usage.RSSPeak>>20)
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
