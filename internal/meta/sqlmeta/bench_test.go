package sqlmeta_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
)

const (
	benchAccount = "000000000000"
	benchRegion  = "eu-north-1"
)

var benchTime = time.UnixMilli(1_700_000_000_000).UTC()

// upload writes the rows of one uploaded archive.
func upload(tx meta.Tx, name moraine.VaultName, now time.Time) (moraine.ArchiveID, error) {
	v, err := tx.Vaults().Get(benchAccount, benchRegion, name)
	if err != nil {
		return "", err
	}
	a := moraine.Archive{
		ID: moraine.NewArchiveID(now), Vault: v.ID, Body: moraine.NewBodyID(now), Description: "holiday.tar", Size: 1 << 20, Created: now,
	}
	if err := tx.Archives().Insert(a); err != nil {
		return "", err
	}
	e := moraine.Extent{Size: a.Size, Blob: moraine.NewBlobID(now), Ref: "p/0000000000001234/000123456789"}
	if err := tx.Bodies().Put(a.Body, e, now); err != nil {
		return "", err
	}
	v.Live.Archives++
	v.Live.Bytes += a.Size
	v.LastWrite = now
	if v.FirstWrite.IsZero() {
		v.FirstWrite = now
	}
	return a.ID, tx.Vaults().Save(v)
}

func addVault(tb testing.TB, s meta.Store, name moraine.VaultName) moraine.Vault {
	tb.Helper()
	v := moraine.Vault{
		ID: moraine.NewVaultID(benchTime), Account: benchAccount, Region: benchRegion, Name: name, Created: benchTime,
	}
	if err := s.Update(tb.Context(), func(tx meta.Tx) error { return tx.Vaults().Save(v) }); err != nil {
		tb.Fatal(err)
	}
	return v
}

// BenchmarkUpload writes the rows of uploads to one vault. The clusters of
// PostgreSQL are in memory unless MORAINE_PGTEST_DIR names a disk.
func BenchmarkUpload(b *testing.B) {
	for _, engine := range []struct {
		name string
		open func(b *testing.B) *sqlmeta.Store
	}{
		{"sqlite", func(b *testing.B) *sqlmeta.Store { return openFor(b, rowsPath(b)) }},
		{"postgres", func(b *testing.B) *sqlmeta.Store { return openAt(b, sqlmeta.Config{URL: migrated(b)}) }},
	} {
		for _, n := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/goroutines=%d", engine.name, n), func(b *testing.B) {
				s := engine.open(b)
				addVault(b, s, "photos")
				benchUploads(b, n, s)
			})
		}
	}
}

// BenchmarkNodes writes the rows of uploads to one vault from two nodes.
func BenchmarkNodes(b *testing.B) {
	for _, n := range []int{2, 32} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			url := migrated(b)
			s, other := openAt(b, sqlmeta.Config{URL: url}), openAt(b, sqlmeta.Config{URL: url})
			addVault(b, s, "photos")
			benchUploads(b, n, s, other)
		})
	}
}

// benchUploads has n goroutines upload, in turn to each of the stores.
func benchUploads(b *testing.B, n int, stores ...*sqlmeta.Store) {
	ctx := context.Background()
	sum := func(count func(*sqlmeta.Store) uint64) (n uint64) {
		for _, s := range stores {
			n += count(s)
		}
		return n
	}
	commits, retries := sum((*sqlmeta.Store).Commits), sum((*sqlmeta.Store).Retries)
	var left, clock atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				now := benchTime.Add(time.Duration(clock.Add(1)) * time.Millisecond)
				err := stores[i%len(stores)].Update(ctx, func(tx meta.Tx) error {
					_, err := upload(tx, "photos", now)
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(sum((*sqlmeta.Store).Commits)-commits)/float64(b.N), "commits/op")
	b.ReportMetric(float64(sum((*sqlmeta.Store).Retries)-retries)/float64(b.N), "retries/op")
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			s := openFor(b, filepath.Join(b.TempDir(), "rows.db"))
			addVault(b, s, "photos")
			ids := make([]moraine.ArchiveID, 1000)
			err := s.Update(b.Context(), func(tx meta.Tx) (err error) {
				for i := range ids {
					if ids[i], err = upload(tx, "photos", benchTime.Add(time.Duration(i))); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			b.SetParallelism(max(1, n/2))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					err := s.View(context.Background(), func(tx meta.Tx) error {
						_, err := tx.Archives().Get(ids[i%len(ids)])
						return err
					})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkBytes measures how much room the rows of an archive in one piece
// take, with their indexes.
func BenchmarkBytes(b *testing.B) {
	const archives = 100_000
	b.Run("sqlite", func(b *testing.B) {
		for b.Loop() {
			path := rowsPath(b)
			s := openFor(b, path)
			fillArchives(b, s, archives)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(fileSize(b, path))/archives, "bytes/archive")
		}
	})
	b.Run("postgres", func(b *testing.B) {
		for b.Loop() {
			s := openAt(b, sqlmeta.Config{URL: migrated(b)})
			fillArchives(b, s, archives)
			size, err := sqlmeta.RelationBytes(s, "archives", "extents")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(size)/archives, "bytes/archive")
		}
	})
}

const benchRows = 1_000_000

// fillArchives adds n archives, each in an extent of its own, to one vault.
func fillArchives(tb testing.TB, s meta.Store, n int) moraine.Vault {
	tb.Helper()
	v := addVault(tb, s, "photos")
	for i := 0; i < n; {
		err := s.Update(tb.Context(), func(tx meta.Tx) error {
			for end := min(i+10_000, n); i < end; i++ {
				now := benchTime.Add(time.Duration(i) * time.Millisecond)
				a := moraine.Archive{
					ID: moraine.NewArchiveID(now), Vault: v.ID, Body: moraine.NewBodyID(now), Description: "holiday.tar", Size: 1 << 20, Created: now,
				}
				if err := tx.Archives().Insert(a); err != nil {
					return err
				}
				e := moraine.Extent{Size: a.Size, Ref: "p/0000000000001234/000123456789"}
				binary.BigEndian.PutUint64(e.Blob[:], uint64(i))
				if err := tx.Bodies().Put(a.Body, e, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return v
}

// BenchmarkMillion fills a database with a million archives, then measures a
// start and a scan of all of them.
func BenchmarkMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "rows.db")
	begin := time.Now()
	s, err := sqlmeta.Open(b.Context(), sqlmeta.Config{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	v := fillArchives(b, s, benchRows)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Logf("filled in %v, %d MiB", time.Since(begin), fileSize(b, path)>>20)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := sqlmeta.Open(b.Context(), sqlmeta.Config{Path: path})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scan", func(b *testing.B) {
		s := openFor(b, path)
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			err := s.View(context.Background(), func(tx meta.Tx) error {
				return tx.Archives().Scan(meta.Scan{Vault: v.ID, At: benchTime.Add(time.Hour)}, func(moraine.Archive) error {
					n++
					return nil
				})
			})
			if err != nil || n != benchRows {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("upload", func(b *testing.B) {
		s := openFor(b, path)
		i := 0
		for b.Loop() {
			i++
			err := s.Update(context.Background(), func(tx meta.Tx) error {
				_, err := upload(tx, "photos", benchTime.Add(time.Hour+time.Duration(i)*time.Millisecond))
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func fileSize(tb testing.TB, path string) int64 {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}
