package move

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

// picture is all that a house shows but the bytes of its archives, as it prints
// it.
type picture struct {
	Texts     map[string]string                         // by path
	Inventory map[string][]vaultclient.InventoryArchive // by vault, in order of id
	Outputs   map[string]string                         // digests, by job
	User      []string
}

// read returns the text that a path gives.
func (h *history) read(c *vaultclient.Client, path string) string {
	h.Helper()
	resp, err := c.Do(h.Context(), &wire.Request{Method: "GET", Target: path}, nil)
	h.must(path, err)
	return fmt.Sprintf("%d %s", resp.Status, resp.Body)
}

// look takes a picture.
func (h *history) look(s *moraineproc.Server) picture {
	h.Helper()
	ctx, c := h.Context(), client(s)
	defer c.Close()
	p := picture{Texts: map[string]string{}, Inventory: map[string][]vaultclient.InventoryArchive{}, Outputs: map[string]string{}}
	paths := []string{"/-/policies/data-retrieval", "/-/provisioned-capacity"}
	for _, vault := range vaults {
		at := "/-/vaults/" + vault
		paths = append(paths, at+"/tags", at+"/access-policy", at+"/lock-policy", at+"/notification-configuration", at+"/multipart-uploads")
		inventory, err := c.TakeInventory(ctx, vault)
		h.must("inventory", err)
		p.Inventory[vault] = inventory.ArchiveList
		slices.SortFunc(p.Inventory[vault], func(a, b vaultclient.InventoryArchive) int { return strings.Compare(a.ArchiveId, b.ArchiveId) })
		v, err := c.DescribeVault(ctx, vault)
		h.must("describe", err)
		v.LastInventoryDate = nil // it has just changed
		text, err := json.Marshal(v)
		h.must("describe", err)
		p.Texts[at] = string(text)
	}
	for upload, vault := range h.uploads {
		paths = append(paths, "/-/vaults/"+vault+"/multipart-uploads/"+upload)
	}
	for job, vault := range h.jobs {
		at := "/-/vaults/" + vault + "/jobs/" + job
		paths = append(paths, at)
		sum := sha256.New()
		switch _, err := c.JobOutput(ctx, vault, job, "", sum); {
		case err == nil:
			p.Outputs[job] = hex.EncodeToString(sum.Sum(nil))
		case !vaultclient.IsRefused(err, ""):
			h.must("output", err)
		}
	}
	for _, path := range paths {
		p.Texts[path] = h.read(c, path)
	}
	iam := identities(s)
	defer iam.Close()
	keys, err := iam.AccessKeys(ctx, mover)
	h.must("keys", err)
	policy, err := iam.UserPolicy(ctx, mover, inlineOf)
	h.must("policy of a user", err)
	p.User = []string{fmt.Sprint(keys), policy}
	return p
}

// same demands that a house shows what another one did when it was left.
func (h *history) same(s *moraineproc.Server, want picture) {
	h.Helper()
	if diff := cmp.Diff(want, h.look(s)); diff != "" {
		h.Errorf("the old house (-) and the new one (+) differ:\n%s", diff)
	}
	// A key that was made in an old house, and a lock, are in force.
	ctx := h.Context()
	user := &vaultclient.Client{Addr: s.Addr, Credentials: &wire.Credentials{KeyID: h.key.AccessKeyId, Secret: h.key.SecretAccessKey, Region: moraineproc.Region}}
	defer user.Close()
	if _, err := user.DescribeVault(ctx, vaults[0]); err != nil {
		h.Errorf("a user may not do what he may: %v", err)
	}
	if _, err := user.GetLock(ctx, retained); !vaultclient.IsRefused(err, "AccessDeniedException") {
		h.Errorf("a user does what he may not: %v", err)
	}
	root := client(s)
	defer root.Close()
	for _, vault := range []string{retained, pending} {
		if err := root.DeleteArchive(ctx, vault, want.Inventory[vault][0].ArchiveId); !vaultclient.IsRefused(err, "AccessDeniedException") {
			h.Errorf("a locked vault lets go of an archive: %v", err)
		}
	}
}

// known demands that everything that was acknowledged is in a picture, and
// nothing that was deleted.
func (h *history) known(p picture) {
	h.Helper()
	seen := map[string]bool{}
	for vault, list := range p.Inventory {
		for _, a := range list {
			seen[a.ArchiveId] = true
			if want, ok := h.archives[a.ArchiveId]; ok && (want != archive{vault, a.SHA256TreeHash, a.Size}) {
				h.Errorf("archive %s of %s is %+v, want %+v", a.ArchiveId, vault, a, want)
			}
		}
	}
	for id := range h.archives {
		if !seen[id] {
			h.Errorf("archive %s was acknowledged and is in no inventory", id)
		}
	}
	// What came without an answer is there, or it is not.
	if more := len(seen) - len(h.archives); more > len(h.doubtful)+h.cut {
		h.Errorf("there are %d archives more than were acknowledged, and %d requests that got no answer", more, len(h.doubtful)+h.cut)
	}
}

const readers = 4

// readAll retrieves every archive that a picture shows and returns how many.
func (h *history) readAll(s *moraineproc.Server, p picture) int {
	h.Helper()
	next := make(chan vaultclient.InventoryArchive)
	of := map[string]string{}
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			c := client(s)
			defer c.Close()
			for a := range next {
				if err := readOne(h.Context(), c, of[a.ArchiveId], a); err != nil {
					h.Errorf("archive %s of %d bytes in %s: %v", a.ArchiveId, a.Size, of[a.ArchiveId], err)
				}
			}
		})
	}
	for vault, list := range p.Inventory {
		for _, a := range list {
			of[a.ArchiveId] = vault
		}
	}
	for _, vault := range slices.Sorted(maps.Keys(p.Inventory)) {
		for _, a := range p.Inventory[vault] {
			next <- a
		}
	}
	close(next)
	all.Wait()
	return len(of)
}

// readOne retrieves an archive and hashes it.
func readOne(ctx context.Context, c *vaultclient.Client, vault string, a vaultclient.InventoryArchive) error {
	id, err := c.InitiateJob(ctx, vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: a.ArchiveId, Tier: "Expedited"})
	if err != nil {
		return err
	}
	j, err := c.AwaitJob(ctx, vault, id)
	if err != nil {
		return err
	}
	if j.StatusCode != "Succeeded" {
		return fmt.Errorf("the job is %s", j.StatusCode)
	}
	return output(ctx, c, vault, id, a.SHA256TreeHash, a.Size)
}

// output reads the output of a job and compares its tree hash.
func output(ctx context.Context, c *vaultclient.Client, vault, job, tree string, size int64) error {
	var got bytes.Buffer
	if _, err := c.JobOutput(ctx, vault, job, "", &got); err != nil {
		return err
	}
	if _, have := treehash.Both(got.Bytes()); have != tree || int64(got.Len()) != size {
		return errors.New("its bytes are others")
	}
	return nil
}

// settled waits for the job that began in the house before.
func (h *history) settled(s *moraineproc.Server) {
	h.Helper()
	c := client(s)
	defer c.Close()
	tick := time.NewTicker(100 * time.Millisecond) // it may take seconds
	defer tick.Stop()
	j, err := c.DescribeJob(h.Context(), retained, h.unready)
	for limit := time.Now().Add(commandMax); err == nil && !j.Completed && time.Now().Before(limit); <-tick.C {
		j, err = c.DescribeJob(h.Context(), retained, h.unready)
	}
	h.must("await a job", err)
	if j.StatusCode != "Succeeded" || j.ArchiveId == nil {
		h.Fatalf("the job that was under way is %+v", j)
	}
	a := h.archives[*j.ArchiveId]
	if err := output(h.Context(), c, retained, h.unready, a.tree, a.size); err != nil {
		h.Errorf("job %s: %v", h.unready, err)
	}
}
