package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"moraine"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/mirror"
	"moraine/internal/treehash"
)

func bytesOf(n int64) []byte { return blobtest.Bytes(n) }

type putFunc = func(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error)

var errDisk = moraine.Errorf(moraine.Unavailable, "the disk failed")

// faults are the ways in which a store may fail to put.
var faults = map[string]func(f *faulty) putFunc{
	"at once": func(*faulty) putFunc {
		return func(context.Context, moraine.BlobID, io.Reader, int64) (moraine.BlobRef, error) { return "", errDisk }
	},
	"in the middle": func(*faulty) putFunc {
		return func(_ context.Context, _ moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
			if _, err := io.ReadFull(r, make([]byte, size/2)); err != nil {
				return "", err
			}
			return "", errDisk
		}
	},
	"at the end, lost": func(*faulty) putFunc {
		return func(_ context.Context, _ moraine.BlobID, r io.Reader, _ int64) (moraine.BlobRef, error) {
			if _, err := io.Copy(io.Discard, r); err != nil {
				return "", err
			}
			return "", errDisk
		}
	},
	"at the end, persisted": func(f *faulty) putFunc {
		return func(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
			if _, err := f.Store.Put(ctx, id, r, size); err != nil {
				return "", err
			}
			return "", errDisk
		}
	},
	"by a success without the body": func(f *faulty) putFunc {
		return func(ctx context.Context, id moraine.BlobID, _ io.Reader, _ int64) (moraine.BlobRef, error) {
			return f.Store.Put(ctx, id, bytes.NewReader([]byte("lies")), 4)
		}
	},
	"with a reference of ours": func(*faulty) putFunc {
		return func(_ context.Context, _ moraine.BlobID, r io.Reader, _ int64) (moraine.BlobRef, error) {
			_, err := io.Copy(io.Discard, r)
			return "a+b", err
		}
	},
}

// TestPutFaults fails each store in each way, with each Ack.
func TestPutFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		for bad := range 2 {
			for _, size := range []int64{1, 1000, 200_000, 5 << 20} {
				t.Run(fmt.Sprintf("%s, side %d, %d bytes", name, bad, size), func(t *testing.T) {
					t.Parallel()
					data := bytesOf(size)
					// What was persisted and reported lost stays, for the search for orphans.
					orphans := [2]int{}
					if name == "at the end, persisted" {
						orphans[bad] = 1
					}

					p := newPair(t, nil)
					p.sides[bad].onPut(fault(p.sides[bad]))
					ref, err := p.store.Put(t.Context(), newID(), bytes.NewReader(data), size)
					if err == nil {
						t.Errorf("acknowledged %s with one copy where both are asked for", ref)
					}
					p.wantHeld("both asked for", orphans)

					p = newPair(t, func(c *mirror.Config) { c.Ack = mirror.One })
					p.sides[bad].onPut(fault(p.sides[bad]))
					id := newID()
					ref, err = p.store.Put(t.Context(), id, bytes.NewReader(data), size)
					if err != nil {
						t.Fatalf("one asked for: %v", err)
					}
					p.wantBytes(ref, data)
					want := [2]bool{true, true}
					want[bad] = false
					if got := refIs(t, ref); got != want {
						t.Errorf("the reference names copies %v, want %v", got, want)
					}
					orphans[1-bad]++
					p.wantHeld("one asked for", orphans)
					place := []string{mirror.Primary, mirror.Second}[bad]
					if e := p.heard(); len(e) != 1 || e[0].Blob != id || e[0].Place != place || !e[0].Put || e[0].Err == nil {
						t.Errorf("events %+v, want one of the copy that was not made", e)
					}
					if missing, err := p.store.Missing(t.Context(), ref); err != nil || len(missing) != 1 || missing[0] != place {
						t.Errorf("%v are missing, %v; want the copy of %s", missing, err, place)
					}
				})
			}
		}
	}
}

// TestPutBothFail fails both stores: there is nothing to acknowledge.
func TestPutBothFail(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		for _, ack := range []mirror.Ack{mirror.Both, mirror.One} {
			p := newPair(t, func(c *mirror.Config) { c.Ack = ack })
			for _, side := range p.sides {
				side.onPut(fault(side))
			}
			for range 3 { // also when both are known to be away
				if ref, err := p.store.Put(t.Context(), newID(), bytes.NewReader(bytesOf(5<<20)), 5<<20); err == nil {
					t.Errorf("both fail %s: acknowledged %s", name, ref)
				}
			}
			for _, side := range p.sides {
				side.onPut(nil)
			}
			if ack == mirror.One {
				continue
			}
			p.put([]byte("works again"))
		}
	}
}

// refuser ends with a refusal in place of io.EOF.
type refuser struct {
	r   io.Reader
	err error
}

func (r *refuser) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

// TestRefusedBody ends a body with a refusal while one store fails or hangs: the
// refusal comes through and nothing is stored.
func TestRefusedBody(t *testing.T) {
	t.Parallel()
	refusal := moraine.Errorf(moraine.Invalid, "hash mismatch")
	for name, fault := range faults {
		for _, ack := range []mirror.Ack{mirror.Both, mirror.One} {
			p := newPair(t, func(c *mirror.Config) { c.Ack = ack })
			if name == "in the middle" || name == "at once" {
				p.sides[1].onPut(fault(p.sides[1]))
			}
			_, err := p.store.Put(t.Context(), newID(), &refuser{bytes.NewReader(bytesOf(6 << 20)), refusal}, 6<<20)
			if !errors.Is(err, refusal) && (ack == mirror.One || !errors.Is(err, errDisk)) {
				t.Errorf("%s: got %v, want the refusal", name, err)
			}
			p.wantHeld("refused", [2]int{})
		}
	}
}

// panicking is a body whose reading panics.
type panicking struct{ left int64 }

func (r *panicking) Read(p []byte) (int, error) {
	if r.left -= int64(len(p)); r.left < 0 {
		panic("body")
	}
	return len(p), nil
}

func TestPanickingBody(t *testing.T) {
	t.Parallel()
	p := newPair(t, nil)
	func() {
		defer func() {
			if got := recover(); got != "body" {
				t.Errorf("recovered %v", got)
			}
		}()
		_, err := p.store.Put(t.Context(), newID(), &panicking{5 << 20}, 9<<20)
		t.Errorf("Put returned %v", err)
	}()
	p.wantHeld("after a panic", [2]int{})
	if err := p.store.Close(); err != nil {
		t.Error(err)
	}
}

// hang returns a put that reads so many bytes and then hangs like a dead disk,
// whatever its context says, until release is closed. Then it ends like the
// store, if it was given the whole body.
func hang(f *faulty, read int64, release <-chan struct{}) putFunc {
	return func(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
		head := make([]byte, min(read, size))
		if _, err := io.ReadFull(r, head); err != nil {
			return "", err
		}
		if read > size {
			if _, err := r.Read(make([]byte, 1)); err != io.EOF {
				return "", err
			}
		}
		<-release
		if read > size {
			return f.Store.Put(context.WithoutCancel(ctx), id, bytes.NewReader(head), size)
		}
		return f.Store.Put(context.WithoutCancel(ctx), id, io.MultiReader(bytes.NewReader(head), r), size)
	}
}

// TestHangingStore makes a store hang before, in and after a body. With one copy
// asked for Put returns after the lag, later puts at once, and when the store
// comes back it leaves nothing behind and is used again.
func TestHangingStore(t *testing.T) {
	t.Parallel()
	const lag = 10 * time.Second
	for _, read := range []int64{0, 2 << 20, 1 << 40} {
		for bad := range 2 {
			for _, size := range []int64{5, 1 << 20, 5 << 20} {
				t.Run(fmt.Sprintf("side %d after %d of %d bytes", bad, read, size), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := newPair(t, func(c *mirror.Config) { c.Ack = mirror.One; c.Lag = lag })
						data := bytesOf(size)
						before := p.put(data)
						release := make(chan struct{})
						p.sides[bad].onPut(hang(p.sides[bad], read, release))
						began := time.Now()
						p.wantBytes(p.put(data).Ref, data)
						if took := time.Since(began); took < lag || took > 2*lag {
							t.Errorf("the put took %v with a store that hangs, want about %v", took, lag)
						}
						for range 3 {
							began = time.Now()
							p.wantBytes(p.put(data).Ref, data)
							if took := time.Since(began); took > 0 {
								t.Errorf("a later put took %v", took)
							}
							<-time.After(time.Minute)
						}
						wantKind(t, p.store.Delete(t.Context(), before.Ref), moraine.Unavailable, "delete of a copy in a store that hangs")
						held := [2]int{4, 4}
						held[bad] = 1
						p.wantHeld("while it hangs", held)

						p.sides[bad].onPut(nil)
						close(release)
						synctest.Wait()
						p.wantHeld("when it came back", held)
						if err := p.store.Delete(t.Context(), before.Ref); err != nil {
							t.Error(err)
						}
						<-time.After(time.Minute)
						if got := refIs(t, p.put(data).Ref); got != [2]bool{true, true} {
							t.Errorf("a put after that made the copies %v", got)
						}
						if err := p.store.Close(); err != nil {
							t.Error(err)
						}
					})
				})
			}
		}
	}
}

// TestHangingStoreWithBoth makes a store hang where both copies are asked for:
// Put waits as long as its caller does, and later puts are refused at once.
func TestHangingStoreWithBoth(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{5, 5 << 20} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, nil)
			release := make(chan struct{})
			p.sides[1].onPut(hang(p.sides[1], 1<<40, release))
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if _, err := p.store.Put(ctx, newID(), bytes.NewReader(bytesOf(size)), size); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the end of the context", err)
			}
			began := time.Now()
			_, err := p.store.Put(t.Context(), newID(), bytes.NewReader(bytesOf(size)), size)
			if wantKind(t, err, moraine.Unavailable, "a put to a store that hangs"); time.Since(began) > 0 {
				t.Errorf("the refusal took %v", time.Since(began))
			}
			close(release)
			synctest.Wait()
			p.wantHeld("when it came back", [2]int{})
			p.sides[1].onPut(nil)
			p.put(bytesOf(size))
			if err := p.store.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// slow is a body or, as a put, a store that takes its time for each MiB.
type slow struct {
	r     io.Reader
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	<-time.After(s.pause)
	return s.r.Read(p)
}

// TestSlowIsNotHanging leaves nobody behind who goes on, if slowly.
func TestSlowIsNotHanging(t *testing.T) {
	t.Parallel()
	const size = 12 << 20
	for name, test := range map[string]func(p *pair) io.Reader{
		"body": func(*pair) io.Reader { return &slow{bytes.NewReader(bytesOf(size)), time.Minute} },
		"store": func(p *pair) io.Reader {
			p.sides[0].onPut(func(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
				return p.sides[0].Store.Put(ctx, id, &slow{r, 9 * time.Second}, size)
			})
			return bytes.NewReader(bytesOf(size))
		},
		"both stores": func(p *pair) io.Reader {
			for _, side := range p.sides {
				side.onPut(func(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
					return side.Store.Put(ctx, id, &slow{r, time.Minute}, size)
				})
			}
			return bytes.NewReader(bytesOf(size))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, func(c *mirror.Config) { c.Ack = mirror.One })
				ref, err := p.store.Put(t.Context(), newID(), test(p), size)
				if err != nil {
					t.Fatal(err)
				}
				if got := refIs(t, ref); got != [2]bool{true, true} {
					t.Errorf("copies %v, want both", got)
				}
			})
		})
	}
}

// TestAwayStoreIsTriedAgain fails one store for a while: puts pass it over,
// then one at a time tries it.
func TestAwayStoreIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(c *mirror.Config) { c.Ack = mirror.One })
		tries := 0
		p.sides[0].onPut(func(context.Context, moraine.BlobID, io.Reader, int64) (moraine.BlobRef, error) {
			tries++
			return "", errDisk
		})
		for range 60 {
			if got := refIs(t, p.put([]byte("x")).Ref); got != [2]bool{false, true} {
				t.Errorf("copies %v, want the second", got)
			}
			<-time.After(time.Second)
		}
		if tries < 3 || tries > 5 {
			t.Errorf("the store was tried %d times in a minute, want about 4", tries)
		}
		st := p.store.Stats()
		if st.Lagging != 60 || st.Places[0].Failure == nil || st.Places[1].Failure != nil {
			t.Errorf("stats %+v, want 60 puts with one copy and the primary away", st)
		}
		p.sides[0].onPut(nil)
		<-time.After(15 * time.Second)
		for range 2 {
			if got := refIs(t, p.put([]byte("x")).Ref); got != [2]bool{true, true} {
				t.Errorf("copies %v, want both", got)
			}
		}
		if st := p.store.Stats(); st.Places[0].Failure != nil {
			t.Errorf("the primary is still away: %v", st.Places[0].Failure)
		}
	})
}

// digester brings its digests.
type digester struct {
	io.Reader
	leaves []treehash.Digest
	asked  int
}

func (d *digester) Leaves() []treehash.Digest { d.asked++; return d.leaves }

// TestDigestsOnce asks the body for its digests once and gives them to both.
func TestDigestsOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{100, 3<<20 + 5} {
		p := newPair(t, nil)
		h := treehash.NewLeafHasher()
		data := bytesOf(size)
		h.Write(data)
		d := &digester{Reader: bytes.NewReader(data), leaves: h.Leaves()}
		ref, err := p.store.Put(t.Context(), newID(), d, size)
		if err != nil {
			t.Fatal(err)
		}
		if d.asked != 1 {
			t.Errorf("asked %d times", d.asked)
		}
		for i, side := range p.sides {
			got, err := side.Leaves(t.Context(), half(t, ref, i), 0, int64(len(d.leaves)))
			if err != nil || treehash.Root(got) != treehash.Root(d.leaves) {
				t.Errorf("side %d has other digests, %v", i, err)
			}
		}
	}
}
