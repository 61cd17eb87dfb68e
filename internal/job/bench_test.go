package job_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob/pack"
	"moraine/internal/job"
	"moraine/internal/meta"
)

// BenchmarkInventory makes the inventory of a vault, from the request to the
// end of the job. A million archives take a minute to be entered, so -short
// leaves them out.
func BenchmarkInventory(b *testing.B) {
	for _, count := range []int{10_000, 100_000, 1_000_000} {
		for _, format := range []string{"JSON", "CSV"} {
			b.Run(fmt.Sprintf("archives=%d/%s", count, format), func(b *testing.B) {
				if count > 100_000 && testing.Short() {
					b.Skip("takes too long")
				}
				benchmarkInventory(b, count, format)
			})
		}
	}
}

func benchmarkInventory(b *testing.B, count int, format string) {
	packs, err := pack.Open(pack.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer packs.Close()
	finished := make(chan struct{}, 1)
	h := newHouse(b, func(c *job.Config) {
		c.Blobs = packs
		c.Finished = func() { finished <- struct{}{} }
	})
	h.enter(count)
	ctx, cancel := context.WithCancel(b.Context())
	stopped := make(chan error)
	go func() { stopped <- h.Run(ctx) }()
	for b.Loop() {
		id := h.mustInitiate(job.Parameters{Type: "inventory-retrieval", Format: format})
		<-finished
		j := h.describe(id)
		if j.State != moraine.Succeeded {
			b.Fatal(j.State)
		}
		b.SetBytes(j.Output)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/archive")
	cancel()
	if err := <-stopped; err != nil {
		b.Error(err)
	}
}

// enter adds rows of archives without bytes to the vault.
func (h *house) enter(count int) {
	h.t.Helper()
	const batch = 10_000
	for first := 0; first < count; first += batch {
		err := h.rows.Update(h.t.Context(), func(tx meta.Tx) error {
			v, err := tx.Vaults().Get(h.call.Principal.Account, h.call.Region, "v")
			if err != nil {
				return err
			}
			for i := first; i < min(first+batch, count); i++ {
				at := h.now().Add(time.Duration(i) * time.Millisecond)
				a := moraine.Archive{
					ID: moraine.NewArchiveID(at), Vault: v.ID, Body: moraine.NewBodyID(at), Created: at,
					Size: int64(i), Description: fmt.Sprintf("archive %d", i), TreeHash: moraine.TreeHash{byte(i), byte(i >> 8)},
				}
				if err := tx.Archives().Insert(a); err != nil {
					return err
				}
			}
			v.FirstWrite, v.LastWrite = h.now(), h.now().Add(time.Duration(count)*time.Millisecond)
			return tx.Vaults().Save(v)
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	h.advance(time.Duration(count+1) * time.Millisecond)
}
