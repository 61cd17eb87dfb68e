package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/mem"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/pack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openPack(t *testing.T, small int64) *pack.Store {
	t.Helper()
	s, err := pack.Open(pack.Config{Dir: t.TempDir(), SmallMax: small, PackSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		copies int
		open   func(t *testing.T) mirror.Config
	}{
		"one store":    {1, func(*testing.T) mirror.Config { return mirror.Config{Primary: mem.New()} }},
		"memory, both": {2, func(*testing.T) mirror.Config { return mirror.Config{Primary: mem.New(), Second: mem.New()} }},
		"memory, one": {2, func(*testing.T) mirror.Config {
			return mirror.Config{Primary: mem.New(), Second: mem.New(), Ack: mirror.One}
		}},
		"packs": {2, func(t *testing.T) mirror.Config {
			return mirror.Config{Primary: openPack(t, 0), Second: openPack(t, 1000)}
		}},
		"unlike stores": {2, func(t *testing.T) mirror.Config {
			return mirror.Config{Primary: openPack(t, 0), Second: mem.New(), Ack: mirror.One, Rebuilding: mirror.Primary}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobtest.RunCopies(t, test.copies, func(t *testing.T) blob.Store { return mirror.New(test.open(t)) })
		})
	}
}

// pair is a mirror over two stores in memory, and what they may be made to do.
type pair struct {
	t      testing.TB
	sides  [2]*faulty
	store  *mirror.Store
	mu     sync.Mutex // guards events
	events []mirror.Event
}

// faulty is a store in memory whose Put can be replaced.
type faulty struct {
	*mem.Store
	mu  sync.Mutex // guards put
	put func(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error)
}

func (f *faulty) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	f.mu.Lock()
	put := f.put
	f.mu.Unlock()
	if put == nil {
		put = f.Store.Put
	}
	return put(ctx, id, r, size)
}

func (f *faulty) onPut(put func(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put = put
}

func newPair(t testing.TB, change func(*mirror.Config)) *pair {
	p := &pair{t: t, sides: [2]*faulty{{Store: mem.New()}, {Store: mem.New()}}}
	cfg := mirror.Config{Primary: p.sides[0], Second: p.sides[1]}
	if change != nil {
		change(&cfg)
	}
	p.store = mirror.New(cfg)
	p.store.Watch(func(e mirror.Event) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.events = append(p.events, e)
	})
	return p
}

// heard returns the events since the last call.
func (p *pair) heard() []mirror.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	events := p.events
	p.events = nil
	return events
}

func newID() moraine.BlobID { return moraine.NewBlobID(time.Now()) }

func (p *pair) put(data []byte) blob.Info {
	p.t.Helper()
	i := blob.Info{ID: newID(), Size: int64(len(data))}
	var err error
	if i.Ref, err = p.store.Put(p.t.Context(), i.ID, bytes.NewReader(data), i.Size); err != nil {
		p.t.Fatal(err)
	}
	return i
}

func (p *pair) read(ref moraine.BlobRef, off, n int64) ([]byte, error) {
	r, err := p.store.Open(p.t.Context(), ref, off, n)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(r)
	return got, errors.Join(err, r.Close())
}

func (p *pair) wantBytes(ref moraine.BlobRef, want []byte) {
	p.t.Helper()
	got, err := p.read(ref, 0, int64(len(want)))
	if err != nil || !bytes.Equal(got, want) {
		p.t.Errorf("%s reads as %d bytes, %v; want the %d that were put", ref, len(got), err, len(want))
	}
}

// held counts the blobs of each side.
func (p *pair) held() (n [2]int) {
	p.t.Helper()
	for i, side := range p.sides {
		if err := side.Walk(context.Background(), func(blob.Info) error { n[i]++; return nil }, nil); err != nil {
			p.t.Error(err)
		}
	}
	return n
}

func (p *pair) wantHeld(doing string, want [2]int) {
	p.t.Helper()
	if got := p.held(); got != want {
		p.t.Errorf("%s: the stores hold %v blobs, want %v", doing, got, want)
	}
}

// half returns what a store calls its copy.
func half(t testing.TB, ref moraine.BlobRef, side int) moraine.BlobRef {
	t.Helper()
	text, ok := strings.CutPrefix(string(ref), "m2:")
	parts := strings.Split(text, "+")
	if !ok || len(parts) != 2 {
		t.Fatalf("%q is no reference of a mirror", string(ref))
	}
	return moraine.BlobRef(parts[side])
}

// refIs tells which copies a reference names.
func refIs(t testing.TB, ref moraine.BlobRef) [2]bool {
	t.Helper()
	return [2]bool{half(t, ref, 0) != "", half(t, ref, 1) != ""}
}

func wantKind(t testing.TB, err error, want moraine.Kind, doing string) {
	t.Helper()
	if !moraine.IsKind(err, want) {
		t.Errorf("%s: error %v, want kind %v", doing, err, want)
	}
}
