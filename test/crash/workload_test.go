package crash_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"moraine/test/internal/iamclient"
	"moraine/test/internal/vaultclient"
)

// Above these the workload deletes more than it uploads.
const (
	liveMax      = 500
	liveBytesMax = 512 << 20
)

// kill tells workers of the kill of the server.
type kill struct {
	near atomic.Bool // set a few milliseconds before
	now  atomic.Bool // set just before
}

// worker runs operations over one connection until the server is gone.
type worker struct {
	l     *ledger
	c     *vaultclient.Client
	iam   *iamclient.Client
	r     *rand.Rand
	clerk bool // works on everything but archives
	kill  *kill
}

var errOver = errors.New("the round is over")

// run works until the kill. An error that is neither a reply nor the kill is a
// fault.
func (w *worker) run(ctx context.Context) {
	defer w.c.Close()
	defer w.iam.Close()
	for ctx.Err() == nil && !w.kill.now.Load() {
		if err := w.step(ctx); err != nil {
			return
		}
	}
}

// step is one operation on archives or on what decides about them.
func (w *worker) step(ctx context.Context) error {
	if w.clerk || w.r.IntN(8) == 0 {
		return w.paperwork(ctx)
	}
	return w.archive(ctx)
}

// paperwork is one operation on documents, locks, identities or capacity.
func (w *worker) paperwork(ctx context.Context) error {
	if w.kill.near.Load() && w.r.IntN(4) > 0 {
		return w.lastWord(ctx)
	}
	switch dice := w.r.IntN(100); {
	case dice < 30:
		return w.document(ctx)
	case dice < 60:
		return w.lock(ctx)
	case dice < 95:
		return w.identity(ctx)
	}
	return w.buy(ctx)
}

// lastWord takes something away for good, if there is something to take: a kill
// hits such an operation more often than by chance.
func (w *worker) lastWord(ctx context.Context) error {
	if w.r.IntN(2) == 0 {
		if v := w.l.claimInProgress(); v != nil {
			return w.completeLock(ctx, v)
		}
	}
	return w.revoke(ctx)
}

func (w *worker) archive(ctx context.Context) error {
	n, bytes := w.l.liveBytes()
	dice := w.r.IntN(100)
	if (n > liveMax || bytes > liveBytesMax) && dice < 60 {
		dice = 99
	}
	switch {
	case dice < 36:
		return w.uploadArchive(ctx, 4096<<w.r.IntN(9)+w.r.Int64N(4096)) // 4 KiB to 1 MiB
	case dice < 42:
		return w.uploadArchive(ctx, 1<<20+w.r.Int64N(1<<20+1))
	case dice < 44:
		return w.uploadArchive(ctx, 8<<20+w.r.Int64N(16<<20))
	case dice < 50:
		return w.initiate(ctx)
	case dice < 76:
		return w.uploadPart(ctx)
	case dice < 84:
		return w.end(ctx, true)
	case dice < 86:
		return w.end(ctx, false)
	case dice < 92:
		return w.startJob(ctx)
	default:
		return w.deleteArchive(ctx)
	}
}

// settle counts an answer and tells what it means: nil for done, errOver when
// nobody can know.
func (w *worker) settle(op string, err error) error {
	fault := ""
	w.l.do(func() {
		c := w.l.counts[op]
		if c == nil {
			c = &count{}
			w.l.counts[op] = c
		}
		c.sent++
		switch {
		case err == nil:
			c.acknowledged++
		case vaultclient.IsRefused(err, ""):
			c.refused++
			fault = fmt.Sprintf("%s was refused: %v", op, err)
		default:
			c.inFlight++
			if !w.kill.now.Load() {
				fault = fmt.Sprintf("%s broke off while the server was up: %v", op, err)
			}
		}
	})
	if fault != "" {
		w.l.fault("%s", fault)
	}
	if err != nil {
		return errOver
	}
	return nil
}

// refused settles an operation that must be refused with a code.
func (w *worker) refused(op string, err error, code string) error {
	if err == nil {
		w.l.fault("%s: %s succeeded, want %s", lost, op, code)
	}
	if vaultclient.IsRefused(err, code) {
		err = nil
	}
	return w.settle(op, err)
}

func (w *worker) uploadArchive(ctx context.Context, size int64) error {
	a := &archive{
		vault:       vaults[w.r.IntN(len(vaults))],
		description: fmt.Sprintf("archive %d", w.l.number()),
		payload:     w.l.payload(w.r, size),
	}
	w.l.do(func() { w.l.pending[a.description] = a })
	id, err := w.c.UploadArchive(ctx, a.vault, a.description, a.payload)
	if err == nil {
		w.l.do(func() {
			delete(w.l.pending, a.description)
			a.id = id
			w.l.archives[id] = a
		})
	}
	op := "upload small"
	if size >= 8<<20 {
		op = "upload large"
	}
	return w.settle(op, err)
}

func (w *worker) deleteArchive(ctx context.Context) error {
	a := w.l.pick(w.r)
	if a == nil {
		return nil
	}
	mine := false
	w.l.do(func() {
		if a.fate == live {
			a.fate, mine = dying, true
		}
	})
	if !mine {
		return nil
	}
	err := w.c.DeleteArchive(ctx, a.vault, a.id)
	if err == nil {
		w.l.do(func() { a.fate = deleted })
	}
	return w.settle("delete archive", err)
}

func (w *worker) initiate(ctx context.Context) error {
	u := &upload{
		vault:       vaults[w.r.IntN(len(vaults))],
		description: fmt.Sprintf("upload %d", w.l.number()),
		sizes:       make([]int64, 2+w.r.IntN(5)),
	}
	for i := range u.sizes {
		u.sizes[i] = partSize
	}
	u.sizes[len(u.sizes)-1] = 1 + w.r.Int64N(partSize)
	u.parts = make([]part, len(u.sizes))
	w.l.do(func() { w.l.opening[u.description] = u })
	id, err := w.c.InitiateUpload(ctx, u.vault, u.description, partSize)
	if err == nil {
		w.l.do(func() {
			delete(w.l.opening, u.description)
			u.id = id
			w.l.uploads[id] = u
		})
	}
	return w.settle("initiate upload", err)
}

// uploadPart sends a missing part or, now and then, replaces one.
func (w *worker) uploadPart(ctx context.Context) error {
	u, i := w.claimPart()
	if u == nil {
		return nil
	}
	p := w.l.payload(w.r, u.sizes[i])
	op := "upload part"
	w.l.do(func() {
		if u.parts[i].acked != nil {
			op = "replace part"
		}
		u.parts[i].maybe = append(u.parts[i].maybe, p)
	})
	err := w.c.UploadPart(ctx, u.vault, u.id, int64(i)*partSize, p)
	w.l.do(func() {
		u.busy--
		u.parts[i].busy = false
		if err == nil {
			u.parts[i].acked, u.parts[i].maybe = &p, nil
		}
	})
	return w.settle(op, err)
}

// claimPart picks a part nobody else is sending, of an upload nobody is ending.
func (w *worker) claimPart() (claimed *upload, slot int) {
	w.l.do(func() {
		for _, u := range w.l.uploads {
			if u.ending || u.completed || u.aborted {
				continue
			}
			i := w.r.IntN(len(u.parts))
			for range u.parts {
				p := u.parts[i]
				if !p.busy && (p.acked == nil || w.r.IntN(8) == 0) {
					u.parts[i].busy = true
					u.busy++
					claimed, slot = u, i
					return
				}
				i = (i + 1) % len(u.parts)
			}
		}
	})
	return claimed, slot
}

// end completes a whole upload, or aborts any.
func (w *worker) end(ctx context.Context, complete bool) error {
	var u *upload
	w.l.do(func() {
		for _, c := range w.l.uploads {
			idle := !c.completed && !c.aborted && !c.ending && c.busy == 0
			if idle && (!complete || c.ready()) {
				u, c.ending = c, true
				break
			}
		}
	})
	if u == nil {
		return nil
	}
	if !complete {
		err := w.c.AbortUpload(ctx, u.vault, u.id)
		if err == nil {
			w.l.do(func() { u.aborted = true })
		}
		return w.settle("abort upload", err)
	}
	a := &archive{vault: u.vault, description: u.description, payload: u.whole()}
	w.l.do(func() { w.l.pending[a.description] = a })
	id, err := w.c.CompleteUpload(ctx, u.vault, u.id, a.payload.Size, a.payload.Tree)
	if err == nil {
		w.l.do(func() {
			u.completed = true
			delete(w.l.pending, a.description)
			a.id = id
			w.l.archives[id] = a
		})
	}
	return w.settle("complete upload", err)
}

func (w *worker) startJob(ctx context.Context) error {
	a := w.l.pick(w.r)
	if a == nil {
		return nil
	}
	request := vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: a.id}
	if w.r.IntN(4) == 0 {
		request.SNSTopic = topicOfJob
	}
	if w.r.IntN(8) == 0 {
		request.Tier = "Bulk" // which waits beyond the end of the run
	}
	id, err := w.c.InitiateJob(ctx, a.vault, request)
	if vaultclient.IsRefused(err, "ResourceNotFoundException") {
		gone := false
		w.l.do(func() { gone = a.fate != live })
		if gone {
			return nil // another worker deleted it in between
		}
	}
	if err == nil && request.Tier != "Bulk" {
		w.l.do(func() { w.l.jobs = append(w.l.jobs, job{id, a.vault, a.id}) })
	}
	return w.settle("initiate job", err)
}
