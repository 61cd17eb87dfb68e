package move

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"moraine/test/internal/iamclient"
	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

const (
	partSize  = 1 << 20
	meanwhile = 15      // requests while bytes are copied
	mover     = "mover" // a user
	inlineOf  = "looks"
	mayLook   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"glacier:DescribeVault","Resource":"*"}]}`
	topic     = "arn:aws:sns:" + moraineproc.Region + ":" + moraineproc.Account + ":ended"
	vaultARNs = "arn:aws:glacier:" + moraineproc.Region + ":" + moraineproc.Account + ":vaults/"
	// retained has a lock that is final, pending one that is not.
	retained, pending, told = "retained", "pending", "told"
)

var vaults = []string{"one", "two", retained, pending, told}

// lockOf is a policy that lets nobody delete from a vault.
func lockOf(vault string) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"keep","Effect":"Deny","Principal":"*","Action":"glacier:DeleteArchive","Resource":"` +
		vaultARNs + vault + `","Condition":{"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}}}]}`
}

// archive is one that was acknowledged.
type archive struct {
	vault, tree string
	size        int64
}

// history is what was done in a house, by several clients at once.
type history struct {
	*world
	jobs    map[string]string // finished ones and one that is far from it, with their vaults
	key     iamclient.Key     // of the user
	uploads map[string]string // in progress, with their vaults
	unready string            // a job that begins in one house and ends in the next

	mu       sync.Mutex // guards the rest
	rnd      *rand.Rand
	archives map[string]archive
	doubtful map[string]bool // ids whose deletion got no answer
	cut      int             // uploads that got none
}

func client(s *moraineproc.Server) *vaultclient.Client {
	return &vaultclient.Client{Addr: s.Addr, Credentials: &wire.Credentials{KeyID: moraineproc.KeyID, Secret: moraineproc.Secret, Region: moraineproc.Region}}
}

func identities(s *moraineproc.Server) *iamclient.Client {
	return iamclient.New(s.Addr, moraineproc.KeyID, moraineproc.Secret, moraineproc.Region)
}

// random returns random bytes, of a size that is worth a try.
func (h *history) random(most int) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	sizes := []int{1, 1 + h.rnd.IntN(1000), 1 + h.rnd.IntN(1000), 64<<10 - 1, 64<<10 + 1, 1 + h.rnd.IntN(300_000), 1 + h.rnd.IntN(300_000), 1 << 20, 1<<20 + 1, 1<<20 + h.rnd.IntN(3<<20)}
	p := make([]byte, min(most, sizes[h.rnd.IntN(len(sizes))]))
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(h.rnd.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(p) // never fails
	return p
}

func (h *history) intN(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rnd.IntN(n)
}

// must ends the test if a step of the history fails.
func (h *history) must(what string, err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
}

// store stores an archive in one piece.
func (h *history) store(ctx context.Context, c *vaultclient.Client, vault string, most int) (string, error) {
	p := vaultclient.NewPayload(h.random(most))
	id, err := c.UploadArchive(ctx, vault, fmt.Sprintf("%d bytes, in one", p.Size), p)
	if err == nil {
		h.keep(id, archive{vault, p.Tree, p.Size})
	}
	return id, err
}

func (h *history) keep(id string, a archive) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.archives[id] = a
}

// remove deletes an archive that is not retained.
func (h *history) remove(ctx context.Context, c *vaultclient.Client) error {
	h.mu.Lock()
	var victim string
	for id, a := range h.archives { // in no order, which is as good as any
		if (a.vault == vaults[0] || a.vault == vaults[1]) && len(h.archives) > 3 {
			victim = id
			break
		}
	}
	a := h.archives[victim]
	delete(h.archives, victim)
	h.mu.Unlock()
	if victim == "" {
		return nil
	}
	err := c.DeleteArchive(ctx, a.vault, victim)
	if err != nil {
		h.mu.Lock()
		h.doubtful[victim] = true
		h.mu.Unlock()
	}
	return err
}

// begin begins an upload in parts, and returns them.
func (h *history) begin(ctx context.Context, c *vaultclient.Client, vault string, parts int) (id string, pieces [][]byte) {
	h.Helper()
	id, err := c.InitiateUpload(ctx, vault, "in parts", partSize)
	h.must("initiate an upload", err)
	for i := range parts {
		some := h.random(partSize)
		piece := bytes.Repeat(some, partSize/len(some)+1)[:partSize]
		if i == parts-1 {
			piece = piece[:1+h.intN(partSize)]
		}
		pieces = append(pieces, piece)
	}
	return id, pieces
}

func (h *history) part(ctx context.Context, c *vaultclient.Client, vault, id string, n int, piece []byte) {
	h.Helper()
	h.must("upload a part", c.UploadPart(ctx, vault, id, int64(n)*partSize, vaultclient.NewPayload(piece)))
}

// inParts stores an archive in parts.
func (h *history) inParts(ctx context.Context, c *vaultclient.Client, vault string, parts int) string {
	h.Helper()
	upload, pieces := h.begin(ctx, c, vault, parts)
	for _, n := range h.order(parts) {
		h.part(ctx, c, vault, upload, n, pieces[n])
	}
	h.part(ctx, c, vault, upload, 0, pieces[0]) // once more, so that one is garbage
	all := vaultclient.NewPayload(pieces...)
	id, err := c.CompleteUpload(ctx, vault, upload, all.Size, all.Tree)
	h.must("complete an upload", err)
	h.keep(id, archive{vault, all.Tree, all.Size})
	return id
}

func (h *history) order(n int) []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rnd.Perm(n)
}

// job begins a job and waits for its end if it has one soon.
func (h *history) job(ctx context.Context, c *vaultclient.Client, vault string, r vaultclient.JobRequest, awaited bool) string {
	h.Helper()
	id, err := c.InitiateJob(ctx, vault, r)
	h.must("initiate a job", err)
	if awaited {
		j, err := c.AwaitJob(ctx, vault, id)
		h.must("await a job", err)
		if j.StatusCode != "Succeeded" {
			h.Fatalf("job %s: %+v", id, j)
		}
	}
	return id
}

// fill does a bit of everything.
func (w *world) fill(s *moraineproc.Server, rnd *rand.Rand, archives int) *history {
	w.Helper()
	h := &history{
		world: w, rnd: rnd, jobs: map[string]string{}, uploads: map[string]string{}, archives: map[string]archive{}, doubtful: map[string]bool{},
	}
	ctx, c := w.Context(), client(s)
	defer c.Close()
	for i, vault := range vaults {
		h.must("create a vault", c.CreateVault(ctx, vault))
		h.must("tag", c.AddTags(ctx, vault, map[string]string{"number": fmt.Sprint(i), "of": "a move é"}))
	}
	h.must("access policy", c.SetAccessPolicy(ctx, vaults[1],
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+moraineproc.Account+`:root"},"Action":"glacier:*","Resource":"`+vaultARNs+vaults[1]+`"}]}`))
	h.must("notifications", c.SetNotifications(ctx, told, vaultclient.NotificationConfig{SNSTopic: topic, Events: []string{"ArchiveRetrievalCompleted"}}))
	rate := int64(1 << 40)
	h.must("retrieval policy", c.SetRetrievalPolicy(ctx, vaultclient.RetrievalRule{Strategy: "BytesPerHour", BytesPerHour: &rate}))
	_, err := c.PurchaseCapacity(ctx)
	h.must("capacity", err)

	var last string
	for i := range archives {
		last, err = h.store(ctx, c, vaults[i%len(vaults)], 8<<20)
		h.must("upload", err)
	}
	for i := range 2 {
		h.inParts(ctx, c, vaults[i], 2+h.intN(3))
		h.must("delete", h.remove(ctx, c))
		upload, pieces := h.begin(ctx, c, vaults[i], 3)
		h.part(ctx, c, vaults[i], upload, 1, pieces[1])
		h.uploads[upload] = vaults[i]
	}
	gone, _ := h.begin(ctx, c, vaults[0], 2)
	h.must("abort", c.AbortUpload(ctx, vaults[0], gone))

	// Jobs: ended, one of them of an archive that is gone, and one far from its end.
	h.jobs[h.job(ctx, c, vaults[0], vaultclient.JobRequest{Type: "inventory-retrieval", Format: "CSV"}, true)] = vaults[0]
	once, err := h.store(ctx, c, told, 8<<20)
	h.must("upload", err)
	h.jobs[h.job(ctx, c, told, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: once, Tier: "Expedited"}, true)] = told
	h.must("delete", c.DeleteArchive(ctx, told, once))
	delete(h.archives, once)
	vault := h.archives[last].vault
	h.jobs[h.job(ctx, c, vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: last, Tier: "Bulk", Description: "far"}, false)] = vault

	h.must("lock", h.lock(ctx, c, retained, true))
	h.must("lock", h.lock(ctx, c, pending, false))
	iam := identities(s)
	defer iam.Close()
	h.must("user", iam.CreateUser(ctx, mover))
	h.must("policy of a user", iam.PutUserPolicy(ctx, mover, inlineOf, mayLook))
	h.key, err = iam.CreateAccessKey(ctx, mover)
	h.must("key", err)
	return h
}

func (h *history) lock(ctx context.Context, c *vaultclient.Client, vault string, final bool) error {
	id, err := c.InitiateLock(ctx, vault, lockOf(vault))
	if err == nil && final {
		err = c.CompleteLock(ctx, vault, id)
	}
	return err
}

// last begins a job that ends in the next house.
func (h *history) last(s *moraineproc.Server) {
	h.Helper()
	c := client(s)
	defer c.Close()
	for id, a := range h.archives {
		if a.vault == retained {
			h.unready = h.job(h.Context(), c, retained, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: id, Tier: "Standard"}, false)
			return
		}
	}
	h.Fatalf("%s is empty", retained)
}

// during uploads and deletes for a while, until ctx ends, or the server is gone.
func (h *history) during(ctx context.Context, s *moraineproc.Server) {
	c := client(s)
	defer c.Close()
	for n := 0; n < meanwhile && ctx.Err() == nil; n++ {
		var err error
		if n%3 == 2 {
			err = h.remove(h.Context(), c)
		} else {
			_, err = h.store(h.Context(), c, vaults[n%2], 100_000)
		}
		var refused *vaultclient.Refused
		if errors.As(err, &refused) {
			h.Errorf("while bytes are copied: %v", err)
		}
		if err != nil && n%3 != 2 {
			h.mu.Lock()
			h.cut++
			h.mu.Unlock()
		}
		if err != nil {
			return // it was killed
		}
	}
}
