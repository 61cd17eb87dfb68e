package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"sync"
	"time"

	"moraine/test/internal/vaultclient"
)

const (
	workers  = 6
	partSize = 1 << 20
	parts    = 6 // of an upload
	settle   = 2 * time.Minute
)

// ledger is what was acknowledged.
type ledger struct {
	d *deployment

	mu sync.Mutex // guards the rest
	// archives by id, with the digest of their bytes
	archives  map[string][sha256.Size]byte
	multipart int
	again     int // requests that were repeated
	maybe     map[string]bool
	seed      uint64
}

type figures struct{ archives, multipart, again int }

func newLedger(d *deployment) *ledger {
	d.Helper()
	l := &ledger{d: d, archives: map[string][sha256.Size]byte{}, maybe: map[string]bool{}}
	c := l.client()
	defer c.Close()
	if err := l.try(d.Context(), c, func() error { return c.CreateVault(d.Context(), vault) }); err != nil {
		d.Fatal(err)
	}
	return l
}

func (l *ledger) client() *vaultclient.Client {
	return &vaultclient.Client{Addr: l.d.front.addr(), Credentials: credentials(), Limit: 30 * time.Second}
}

func (l *ledger) figures() figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	return figures{len(l.archives), l.multipart, l.again}
}

// try repeats a request as an SDK would, each time over a connection to another
// node. A refusal that is not to be repeated is an error of the service.
func (l *ledger) try(ctx context.Context, c *vaultclient.Client, do func() error) error {
	deadline := time.Now().Add(settle)
	for {
		c.Close() // the next node
		err := do()
		var refused *vaultclient.Refused
		switch {
		case err == nil:
			return nil
		case errors.As(err, &refused) && refused.Status < 500 && refused.Code != "ThrottlingException" && refused.Code != "RequestTimeoutException":
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("refused for %s: %w", settle, err)
		}
		l.mu.Lock()
		l.again++
		l.mu.Unlock()
		pause(ctx, 20*time.Millisecond)
	}
}

// during has workers store archives while a disturbance lasts, and lets them
// finish what they have begun.
func (l *ledger) during(disturb func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(l.d.Context(), max(*loadFor, 2**outage))
	defer cancel()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() { l.work(ctx) })
	}
	disturb(ctx)
	all.Wait()
}

func (l *ledger) work(ctx context.Context) {
	c := l.client()
	defer c.Close()
	l.mu.Lock()
	l.seed++
	rnd := rand.New(rand.NewPCG(1, l.seed))
	l.mu.Unlock()
	for ctx.Err() == nil {
		var err error
		if rnd.IntN(3) == 0 {
			err = l.single(c, rnd)
		} else {
			err = l.inParts(rnd)
		}
		if err != nil {
			l.d.Error(err)
			return
		}
	}
}

func noise(rnd *rand.Rand, n int) []byte {
	p := make([]byte, n)
	seed := [32]byte{}
	for i := range seed {
		seed[i] = byte(rnd.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(p) // never fails
	return p
}

// single stores a small archive. One that was stored without its reply is stored
// again: more archives than acknowledged are no fault.
func (l *ledger) single(c *vaultclient.Client, rnd *rand.Rand) error {
	body := noise(rnd, 1+rnd.IntN(200_000))
	p := vaultclient.NewPayload(body)
	var id string
	err := l.try(l.d.Context(), c, func() (err error) {
		id, err = c.UploadArchive(l.d.Context(), vault, "single", p)
		return err
	})
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	l.acknowledged(id, body, false)
	return nil
}

// inParts stores an archive in parts that are sent side by side.
func (l *ledger) inParts(rnd *rand.Rand) error {
	ctx := l.d.Context()
	body := noise(rnd, (parts-1)*partSize+1+rnd.IntN(partSize))
	c := l.client()
	defer c.Close()
	var upload string
	err := l.try(ctx, c, func() (err error) {
		upload, err = c.InitiateUpload(ctx, vault, "in parts", partSize)
		return err
	})
	if err != nil {
		return fmt.Errorf("initiate: %w", err)
	}
	var all sync.WaitGroup
	failed := make([]error, parts)
	for i := range parts {
		all.Go(func() {
			c := l.client()
			defer c.Close()
			first := i * partSize
			p := vaultclient.NewPayload(body[first:min(first+partSize, len(body))])
			failed[i] = l.try(ctx, c, func() error { return c.UploadPart(ctx, vault, upload, int64(first), p) })
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("part: %w", err)
	}
	whole := vaultclient.NewPayload(body)
	var id string
	tries := 0
	err = l.try(ctx, c, func() (err error) {
		tries++
		id, err = c.CompleteUpload(ctx, vault, upload, whole.Size, whole.Tree)
		return err
	})
	if tries > 1 && vaultclient.IsRefused(err, "ResourceNotFoundException") {
		return nil // completed by a request whose reply was lost
	}
	if err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	l.acknowledged(id, body, true)
	return nil
}

func (l *ledger) acknowledged(id string, body []byte, multipart bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, twice := l.archives[id]; twice {
		l.d.Errorf("the id %s was given away twice", id)
	}
	l.archives[id] = sha256.Sum256(body)
	if multipart {
		l.multipart++
	}
}

// digesting hashes what it is given.
type digesting struct{ hash.Hash }

// readAll retrieves every archive that was acknowledged through the proxy, and
// looks for each in the inventory.
func (l *ledger) readAll() {
	ctx := l.d.Context()
	var ids []string
	for id := range l.archives {
		ids = append(ids, id)
	}
	next := make(chan string)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			c := l.client()
			defer c.Close()
			for id := range next {
				if err := l.read(ctx, c, id); err != nil {
					l.d.Errorf("archive %s: %v", id, err)
				}
			}
		})
	}
	for _, id := range ids {
		next <- id
	}
	close(next)
	all.Wait()

	c := l.client()
	defer c.Close()
	var inventory vaultclient.Inventory
	err := l.try(ctx, c, func() (err error) {
		inventory, err = c.TakeInventory(ctx, vault)
		return err
	})
	if err != nil {
		l.d.Errorf("inventory: %v", err)
		return
	}
	listed := map[string]bool{}
	for _, a := range inventory.ArchiveList {
		if listed[a.ArchiveId] {
			l.d.Errorf("%s is in the inventory twice", a.ArchiveId)
		}
		listed[a.ArchiveId] = true
	}
	for _, id := range ids {
		if !listed[id] {
			l.d.Errorf("%s is not in the inventory", id)
		}
	}
}

// read retrieves one archive and compares its bytes.
func (l *ledger) read(ctx context.Context, c *vaultclient.Client, id string) error {
	var job string
	err := l.try(ctx, c, func() (err error) {
		job, err = c.InitiateJob(ctx, vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: id, Tier: "Standard"})
		return err
	})
	if err != nil {
		return fmt.Errorf("initiate: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	err = l.try(ctx, c, func() error {
		j, err := c.AwaitJob(ctx, vault, job)
		if err == nil && j.StatusCode != "Succeeded" {
			err = fmt.Errorf("the job is %s", j.StatusCode)
		}
		return err
	})
	if err != nil {
		return err
	}
	var got []byte
	err = l.try(ctx, c, func() error {
		sum := digesting{sha256.New()}
		_, err := c.JobOutput(ctx, vault, job, "", sum)
		got = sum.Sum(nil)
		return err
	})
	if want := l.archives[id]; err == nil && !bytes.Equal(got, want[:]) {
		err = errors.New("the bytes are others")
	}
	return err
}
