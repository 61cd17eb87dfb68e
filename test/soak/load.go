package main

import (
	"context"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"crypto/sha256"
	"encoding/hex"

	"moraine/test/internal/vaultclient"
)

const (
	partSize = 1 << 20
	// retainedMax bounds the archives that cannot be deleted.
	retainedMax = 48 << 20
	// spaceRest is how long a worker rests when the disk is full.
	spaceRest = 100 * time.Millisecond
	jobMax    = 2 * time.Minute
	// inventoryMax is how long an inventory is waited for under load.
	inventoryMax = 45 * time.Second
)

// errGone says that the server was killed, or is about to be.
var errGone = errors.New("the server is gone")

// worker runs operations over one connection until the server is gone.
type worker struct {
	l    *ledger
	c    *vaultclient.Client
	r    *rand.Rand
	kill *atomic.Bool // set just before the kill
	bulk bool         // large archives, so that the disk fills
}

func (w *worker) run(ctx context.Context) {
	defer w.c.Close()
	for ctx.Err() == nil && !w.kill.Load() {
		if err := w.step(ctx); err != nil {
			return
		}
	}
}

func (w *worker) step(ctx context.Context) error {
	now, short := w.l.turn()
	dice := w.r.IntN(1000)
	switch {
	case dice < 4:
		return w.inventory(ctx)
	case dice < 10:
		return w.retain(ctx)
	case dice < 14:
		return w.deleteRetained(ctx)
	case dice < 80:
		return w.retrieve(ctx)
	case now == emptying && dice < 900, dice < 180:
		return w.delete(ctx)
	}
	if short {
		return w.rest(ctx)
	}
	vault := vaults[w.r.IntN(len(vaults))]
	switch dice = w.r.IntN(100); {
	case dice < 3 || w.bulk && dice < 8:
		return w.upload(ctx, "upload large", vault, 8<<20+w.r.Int64N(24<<20))
	case dice < 10:
		return w.multipart(ctx, vault)
	case dice < 20:
		return w.upload(ctx, "upload medium", vault, 1<<20+w.r.Int64N(4<<20))
	}
	return w.upload(ctx, "upload small", vault, 1024<<w.r.IntN(10)+w.r.Int64N(1024)) // 1 KiB to 513 KiB
}

// rest waits a moment for space.
func (w *worker) rest(ctx context.Context) error {
	timer := time.NewTimer(spaceRest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer is what came back for an operation.
type answer int

const (
	done    answer = iota
	refused        // nothing has changed
	unknown        // it may have taken effect
)

// settle counts an answer. An error ends the worker.
func (w *worker) settle(op string, err error) (answer, error) {
	var no *vaultclient.Refused
	switch {
	case err == nil:
		w.l.tally(op, func(c *count) { c.acknowledged++ })
		return done, nil
	case errors.As(err, &no) && no.Code == "ServiceUnavailableException":
		// The disk is full. Whether it has taken effect is not said.
		w.l.tally(op, func(c *count) { c.refused++ })
		w.l.refusedForSpace(w.r)
		return unknown, nil
	case errors.As(err, &no):
		w.l.tally(op, func(c *count) { c.refused++ })
		return refused, nil
	}
	w.l.tally(op, func(c *count) { c.unknown++ })
	if !w.kill.Load() {
		w.l.isWrong("%s broke off while the server was up: %v", op, err)
	}
	return unknown, errGone
}

func (w *worker) upload(ctx context.Context, op, vault string, size int64) error {
	a, p := w.l.archive(w.r, vault, size)
	w.l.begin(a)
	id, err := w.c.UploadArchive(ctx, vault, a.description, p)
	what, ended := w.settle(op, err)
	switch what {
	case done:
		w.l.acknowledge(a, id)
	case refused:
		w.l.isWrong("%s: %v", op, err)
	case unknown: // the next inventory tells
	}
	return ended
}

// retain uploads to the vault whose lock forbids deletions.
func (w *worker) retain(ctx context.Context) error {
	room := false
	w.l.do(func() { room = w.l.kept < retainedMax })
	if !room {
		return nil
	}
	return w.upload(ctx, "upload retained", retained, 1024<<w.r.IntN(11))
}

// deleteRetained asks for what the lock forbids.
func (w *worker) deleteRetained(ctx context.Context) error {
	var a *archive
	w.l.do(func() {
		for _, one := range w.l.archives {
			if one.vault == retained {
				a = one
				break
			}
		}
	})
	if a == nil {
		return nil
	}
	err := w.c.DeleteArchive(ctx, a.vault, a.id)
	if err == nil {
		w.l.isWrong("the lock let archive %s be deleted", a.id)
	}
	_, ended := w.settle("delete retained", err)
	return ended
}

// multipart uploads an archive in parts, and now and then gives it up.
func (w *worker) multipart(ctx context.Context, vault string) error {
	n := 2 + w.r.Int64N(6)
	a, p := w.l.archive(w.r, vault, (n-1)*partSize+1+w.r.Int64N(partSize))
	upload, err := w.c.InitiateUpload(ctx, vault, a.description, partSize)
	if what, ended := w.settle("initiate upload", err); what != done {
		return ended
	}
	whole := make([]byte, 0, p.Size)
	for _, piece := range p.Pieces {
		whole = append(whole, piece...)
	}
	for at := int64(0); at < p.Size; at += partSize {
		part := vaultclient.NewPayload(whole[at:min(at+partSize, p.Size)])
		err := w.c.UploadPart(ctx, vault, upload, at, part)
		if what, ended := w.settle("upload part", err); what != done {
			if ended != nil {
				return ended
			}
			return w.abort(ctx, vault, upload)
		}
	}
	if w.r.IntN(6) == 0 {
		return w.abort(ctx, vault, upload)
	}
	w.l.begin(a)
	id, err := w.c.CompleteUpload(ctx, vault, upload, p.Size, p.Tree)
	what, ended := w.settle("complete upload", err)
	switch what {
	case done:
		w.l.acknowledge(a, id)
	case refused:
		w.l.isWrong("complete upload: %v", err)
	case unknown:
	}
	return ended
}

func (w *worker) abort(ctx context.Context, vault, upload string) error {
	_, ended := w.settle("abort upload", w.c.AbortUpload(ctx, vault, upload))
	return ended
}

func (w *worker) delete(ctx context.Context) error {
	a := w.l.pick(w.r, true)
	if a == nil {
		return w.rest(ctx)
	}
	err := w.c.DeleteArchive(ctx, a.vault, a.id)
	what, ended := w.settle("delete archive", err)
	switch what {
	case done:
		w.l.do(func() { w.l.drop(a) })
	case refused:
		w.l.isWrong("delete of archive %s: %v", a.id, err)
	case unknown:
	}
	return ended
}

// inventory reads an inventory while everything goes on: it must come, unless
// there is no space to write it to.
func (w *worker) inventory(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, inventoryMax)
	defer cancel()
	_, err := w.c.TakeInventory(ctx, vaults[w.r.IntN(len(vaults))])
	if now, short := w.l.turn(); err != nil && (short || now == emptying) && !w.kill.Load() {
		w.l.tally("inventory", func(c *count) { c.refused++ }) // there was no space for it
		return w.closed()
	}
	_, ended := w.settle("inventory", err)
	return ended
}

// retrieve reads an archive, which somebody may delete meanwhile.
func (w *worker) retrieve(ctx context.Context) error {
	a := w.l.pick(w.r, false)
	if a == nil {
		return nil
	}
	err := w.compare(ctx, a)
	if errors.Is(err, errDifferent) {
		return nil // it is on record
	}
	if err != nil && !w.l.alive(a) {
		return w.closed()
	}
	what, ended := w.settle("retrieve", err)
	if what == refused {
		w.l.isLost("archive %s in %s: %v", a.id, a.vault, err)
	}
	return ended
}

// closed drops a connection in an unknown state.
func (w *worker) closed() error {
	w.c.Close()
	if w.kill.Load() {
		return errGone
	}
	return nil
}

// errDifferent says that bytes came that are not those of the archive.
var errDifferent = errors.New("other bytes")

// compare retrieves an archive and compares its bytes. It records bytes that are
// wrong, and a job that fails of an archive that must be there.
func (w *worker) compare(ctx context.Context, a *archive) error {
	ctx, cancel := context.WithTimeout(ctx, jobMax)
	defer cancel()
	id, err := w.initiate(ctx, a)
	if err != nil {
		return err
	}
	job, err := w.c.AwaitJob(ctx, a.vault, id)
	if err != nil {
		return err
	}
	if job.StatusCode != "Succeeded" {
		// Its bytes may have been given back if it was deleted before the job.
		if w.l.alive(a) {
			message := ""
			if job.StatusMessage != nil {
				message = *job.StatusMessage
			}
			w.l.isLost("the job for archive %s of %d bytes in %s ended %s: %s", a.id, a.size, a.vault, job.StatusCode, message)
		}
		return errDifferent
	}
	out := summer{sha256.New(), 0}
	if _, err := w.c.JobOutput(ctx, a.vault, id, "", &out); err != nil {
		return err
	}
	if sum := hex.EncodeToString(out.Sum(nil)); sum != a.linear || out.n != a.size {
		w.l.isWrong("archive %s of %d bytes comes back as %d bytes with hash %s, want %s", a.id, a.size, out.n, sum, a.linear)
		return errDifferent
	}
	w.l.do(func() { a.checked++; w.l.read++; w.l.readSize += a.size })
	return nil
}

// initiate begins the retrieval of an archive. If there is no space for the row of
// a job it tries again.
func (w *worker) initiate(ctx context.Context, a *archive) (id string, err error) {
	for {
		id, err = w.c.InitiateJob(ctx, a.vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: a.id})
		if !vaultclient.IsRefused(err, "ServiceUnavailableException") || w.rest(ctx) != nil {
			return id, err
		}
	}
}

// summer hashes what is written to it.
type summer struct {
	hash.Hash
	n int64
}

var _ io.Writer = (*summer)(nil)

func (s *summer) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return s.Hash.Write(p)
}
