package drill

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

const (
	vault     = "drill"
	workers   = 2
	partSize  = 1 << 20
	inPartsOf = 8 // one archive in so many is uploaded in parts
	jobMax    = time.Minute
)

// entry is an archive that was acknowledged.
type entry struct {
	sum          [sha256.Size]byte
	pieces       int
	begun, acked time.Time
}

// ledger is what was acknowledged.
type ledger struct {
	*testing.T

	mu       sync.Mutex // guards the rest
	archives map[string]entry
	seed     uint64
}

func newLedger(t *testing.T, s *moraineproc.Server) *ledger {
	t.Helper()
	l := &ledger{T: t, archives: map[string]entry{}}
	c := connect(s)
	defer c.Close()
	if err := c.CreateVault(t.Context(), vault); err != nil {
		t.Fatal(err)
	}
	return l
}

func connect(s *moraineproc.Server) *vaultclient.Client {
	return &vaultclient.Client{
		Addr: s.Addr, Credentials: &wire.Credentials{KeyID: moraineproc.KeyID, Secret: moraineproc.Secret, Region: moraineproc.Region},
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.archives)
}

// store has workers upload n archives, in turn to each of the servers. One of
// the first few is in parts.
func (l *ledger) store(n int, servers ...*moraineproc.Server) {
	l.Helper()
	left := make(chan int, n)
	for i := range n {
		left <- i
	}
	close(left)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			c := connect(servers[w%len(servers)])
			defer c.Close()
			for i := range left {
				if err := l.upload(c, i%inPartsOf == 1); err != nil {
					l.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if l.Failed() {
		l.FailNow()
	}
}

// whileStoring runs steps beside uploads: some are acknowledged before each, and
// some begin after it.
func (l *ledger) whileStoring(s *moraineproc.Server, steps ...func()) {
	l.Helper()
	ctx, cancel := context.WithCancel(l.Context())
	defer cancel()
	acked := make(chan struct{}, 1)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			c := connect(s)
			defer c.Close()
			for ctx.Err() == nil {
				if err := l.upload(c, false); err != nil {
					l.Error(err)
					cancel()
					return
				}
				select {
				case acked <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
	}
	// An upload that comes after a whole round of all workers began after the
	// round did.
	round := func() {
		for range 2*workers + 2 {
			select {
			case <-acked:
			case <-ctx.Done():
				return
			}
		}
	}
	round()
	for _, step := range steps {
		step()
		round()
	}
	cancel()
	all.Wait()
	if l.Failed() {
		l.FailNow()
	}
}

// upload stores one archive.
func (l *ledger) upload(c *vaultclient.Client, inParts bool) error {
	l.mu.Lock()
	l.seed++
	rnd := rand.New(rand.NewPCG(1, l.seed))
	l.mu.Unlock()
	ctx := l.Context()
	size := 1 + rnd.IntN(200_000)
	if inParts {
		size += 2 * partSize
	}
	body := noise(rnd, size)
	whole := vaultclient.NewPayload(body)
	e := entry{sum: sha256.Sum256(body), pieces: 1, begun: time.Now()}
	var id string
	var err error
	if !inParts {
		id, err = c.UploadArchive(ctx, vault, "single", whole)
	} else {
		e.pieces = 3
		var upload string
		if upload, err = c.InitiateUpload(ctx, vault, "in parts", partSize); err != nil {
			return fmt.Errorf("initiate: %w", err)
		}
		for first := 0; first < size; first += partSize {
			part := vaultclient.NewPayload(body[first:min(first+partSize, size)])
			if err := c.UploadPart(ctx, vault, upload, int64(first), part); err != nil {
				return fmt.Errorf("part: %w", err)
			}
		}
		id, err = c.CompleteUpload(ctx, vault, upload, whole.Size, whole.Tree)
	}
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	e.acked = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.archives[id] = e
	return nil
}

func noise(rnd *rand.Rand, n int) []byte {
	p := make([]byte, n)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rnd.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(p) // never fails
	return p
}

// remove deletes an archive that was acknowledged, and says which.
func (l *ledger) remove(s *moraineproc.Server, id string) {
	l.Helper()
	c := connect(s)
	defer c.Close()
	if err := c.DeleteArchive(l.Context(), vault, id); err != nil {
		l.Fatal(err)
	}
}

// some returns n ids of archives that began after an instant and were acknowledged
// before another.
func (l *ledger) some(n int, after, before time.Time) (ids []string) {
	for id, e := range l.archives {
		if len(ids) < n && e.begun.After(after) && e.acked.Before(before) {
			ids = append(ids, id)
		}
	}
	if len(ids) < n {
		l.Fatalf("there are only %d archives", len(ids))
	}
	return ids
}

// span is when a backup was taken. What was acknowledged before it is in it, what
// began after it is not.
type span struct{ from, to time.Time }

func during(fn func()) span {
	from := time.Now()
	fn()
	return span{from, time.Now()}
}

// compare reads everything that a server lists. It must be all that is in the
// backup, byte for byte, and nothing else; what began after the backup must be
// said to be missing. Archives in lacking are listed, and refused when they are read.
func (l *ledger) compare(s *moraineproc.Server, backup span, lacking map[string]bool) (same, missing int) {
	l.Helper()
	c := connect(s)
	defer c.Close()
	inventory, err := c.TakeInventory(l.Context(), vault)
	if err != nil {
		l.Fatalf("inventory: %v", err)
	}
	listed := map[string]bool{}
	for _, a := range inventory.ArchiveList {
		listed[a.ArchiveId] = true
		if _, known := l.archives[a.ArchiveId]; !known {
			l.Errorf("%s was never acknowledged, and is listed", a.ArchiveId)
		}
	}
	var all sync.WaitGroup
	limit := make(chan struct{}, workers)
	for id, e := range l.archives {
		switch {
		case e.acked.Before(backup.from) && !listed[id]:
			l.Errorf("%s was acknowledged before the backup, and is not listed", id)
		case e.begun.After(backup.to) && listed[id]:
			l.Errorf("%s began after the backup, and is listed", id)
		case !listed[id]:
			missing++
			_, err := c.InitiateJob(l.Context(), vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: id})
			if !vaultclient.IsRefused(err, "ResourceNotFoundException") {
				l.Errorf("%s is in no backup; asked for it, the server says %v", id, err)
			}
		case lacking[id]:
			if err := retrieve(l.Context(), c, id, e); err == nil {
				l.Errorf("%s lacks bytes, and was served", id)
			}
		default:
			same++
			limit <- struct{}{}
			all.Go(func() {
				defer func() { <-limit }()
				c := connect(s)
				defer c.Close()
				if err := retrieve(l.Context(), c, id, e); err != nil {
					l.Errorf("%s: %v", id, err)
				}
			})
		}
	}
	all.Wait()
	return same, missing
}

// retrieve reads an archive and compares its bytes.
func retrieve(ctx context.Context, c *vaultclient.Client, id string, want entry) error {
	ctx, cancel := context.WithTimeout(ctx, jobMax)
	defer cancel()
	job, err := c.InitiateJob(ctx, vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: id})
	if err != nil {
		return err
	}
	j, err := c.AwaitJob(ctx, vault, job)
	if err == nil && j.StatusCode != "Succeeded" {
		err = fmt.Errorf("the job is %s", j.StatusCode)
	}
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := c.JobOutput(ctx, vault, job, "", sum); err != nil {
		return err
	}
	if [sha256.Size]byte(sum.Sum(nil)) != want.sum {
		return errors.New("the bytes are others")
	}
	return nil
}
