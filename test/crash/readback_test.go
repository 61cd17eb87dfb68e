package crash_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"moraine/test/internal/vaultclient"
)

const (
	jobMax     = 3 * time.Minute // one job to its end
	readers    = 4               // connections that read archives back
	oldSample  = 150             // archives read again though checked before
	jobsSample = 40              // jobs from before the kill looked at
)

func (v *verifier) archives(want func(*archive) bool) []*archive {
	var list []*archive
	v.l.do(func() {
		for _, a := range v.l.archives {
			if want(a) {
				list = append(list, a)
			}
		}
	})
	return list
}

// readBack retrieves archives by jobs and compares their bytes.
func (v *verifier) readBack(ctx context.Context) error {
	fresh := v.archives(func(a *archive) bool { return a.fate == live && !a.checked })
	old := v.archives(func(a *archive) bool { return a.fate == live && a.checked })
	v.r.Shuffle(len(old), func(i, j int) { old[i], old[j] = old[j], old[i] })
	if !v.all && len(old) > oldSample {
		old = old[:oldSample]
	}
	queue := make(chan *archive)
	g, ctx := errgroup.WithContext(ctx)
	for range readers {
		g.Go(func() error {
			c := v.client()
			defer c.Close()
			for a := range queue {
				if err := v.retrieve(ctx, c, a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(queue)
		for _, a := range append(fresh, old...) {
			select {
			case queue <- a:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return g.Wait()
}

func (v *verifier) retrieve(ctx context.Context, c *vaultclient.Client, a *archive) error {
	id, err := c.InitiateJob(ctx, a.vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: a.id})
	if err != nil {
		v.l.fault("LOST: archive %s cannot be retrieved: %v", a.id, err)
		return ctx.Err()
	}
	v.jobOutput(ctx, c, job{id, a.vault, a.id}, a)
	return ctx.Err()
}

// jobOutput waits for a job and compares its output with the archive.
func (v *verifier) jobOutput(ctx context.Context, c *vaultclient.Client, j job, a *archive) {
	ctx, cancel := context.WithTimeout(ctx, jobMax)
	defer cancel()
	got, err := c.AwaitJob(ctx, j.vault, j.id)
	if err != nil {
		v.l.fault("job %s of archive %s: %v", j.id, a.id, err)
		return
	}
	if got.StatusCode != "Succeeded" {
		if a.fate == live {
			v.l.fault("LOST: job %s of archive %s (%s, %d bytes) ended %s", j.id, a.id, a.description, a.payload.Size, got.StatusCode)
		}
		return
	}
	sum := sha256.New()
	resp, err := c.JobOutput(ctx, j.vault, j.id, "", sum)
	if err != nil {
		v.l.fault("LOST: output of archive %s: %v", a.id, err)
		return
	}
	v.bytes.Add(resp.BodySize)
	if hash := hex.EncodeToString(sum.Sum(nil)); hash != a.payload.Linear || resp.Get("x-amz-sha256-tree-hash") != a.payload.Tree {
		v.l.fault("LOST: archive %s (%s): %d bytes with SHA-256 %s and tree hash %s, want %d, %s, %s", a.id, a.description,
			resp.BodySize, hash, resp.Get("x-amz-sha256-tree-hash"), a.payload.Size, a.payload.Linear, a.payload.Tree)
		return
	}
	v.l.do(func() { a.checked = true })
}

// oldJobs looks at jobs acknowledged before the kill: they must be known and
// end, and their output must be right. Those that a killed process was running
// may take a while; only the last check waits for them.
func (v *verifier) oldJobs(ctx context.Context, c *vaultclient.Client) {
	var jobs []job
	v.l.do(func() { jobs, v.l.jobs = v.l.jobs, nil })
	v.r.Shuffle(len(jobs), func(i, k int) { jobs[i], jobs[k] = jobs[k], jobs[i] })
	for _, j := range jobs[:min(jobsSample, len(jobs))] {
		if got, err := c.DescribeJob(ctx, j.vault, j.id); err == nil && !got.Completed && !v.last {
			v.l.do(func() { v.l.jobs = append(v.l.jobs, j) })
			continue
		}
		var a *archive
		v.l.do(func() { a = v.l.archives[j.archive] })
		v.jobOutput(ctx, c, j, a)
	}
}

// deletedStayDeleted asks for some archives that must be gone.
func (v *verifier) deletedStayDeleted(ctx context.Context, c *vaultclient.Client) {
	gone := v.archives(func(a *archive) bool { return a.fate == deleted })
	for _, a := range gone[:min(20, len(gone))] {
		_, err := c.InitiateJob(ctx, a.vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: a.id})
		if !vaultclient.IsRefused(err, "ResourceNotFoundException") {
			v.l.fault("job for deleted archive %s: got %v, want ResourceNotFoundException", a.id, err)
		}
	}
}

// completeAll ends every upload that has all its parts and reads the archives
// back, so that parts are proved by their bytes and not only by their hashes.
func (v *verifier) completeAll(t *testing.T) {
	t.Helper()
	c := v.client()
	defer c.Close()
	var whole []*upload
	v.l.do(func() {
		for _, u := range v.l.uploads {
			if u.ready() && !u.completed && !u.aborted {
				whole = append(whole, u)
			}
		}
	})
	for _, u := range whole {
		p := u.whole()
		id, err := c.CompleteUpload(t.Context(), u.vault, u.id, p.Size, p.Tree)
		if err != nil {
			v.l.fault("LOST: upload %s cannot be completed: %v", u.id, err)
			continue
		}
		a := &archive{id: id, vault: u.vault, description: u.description, payload: p}
		v.l.do(func() { u.completed, v.l.archives[id] = true, a })
		if err := v.retrieve(t.Context(), c, a); err != nil {
			v.l.fault("read back: %v", err)
		}
	}
}

// readAll is for tests that hold an archive's bytes.
func readAll(ctx context.Context, c *vaultclient.Client, vault, archiveID string) ([]byte, string, error) {
	ctx, cancel := context.WithTimeout(ctx, jobMax)
	defer cancel()
	id, err := c.InitiateJob(ctx, vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: archiveID})
	if err != nil {
		return nil, "", err
	}
	got, err := c.AwaitJob(ctx, vault, id)
	if err != nil || got.StatusCode != "Succeeded" {
		return nil, got.StatusCode, err
	}
	var out bytes.Buffer
	_, err = c.JobOutput(ctx, vault, id, "", &out)
	return out.Bytes(), got.StatusCode, err
}
