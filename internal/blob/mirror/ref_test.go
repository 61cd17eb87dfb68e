package mirror_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/blob/mirror"
)

func TestReferences(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ref            moraine.BlobRef
		lacks1, lacks2 bool
		parts          []moraine.BlobRef
	}{
		{"s.1.2", false, true, []moraine.BlobRef{"m2:s.1.2+"}},
		{"m2:a+b", false, false, []moraine.BlobRef{"m2:a+", "m2:+b"}},
		{"m2:a+", false, true, []moraine.BlobRef{"m2:a+"}},
		{"m2:+b", true, false, []moraine.BlobRef{"m2:+b"}},
		{"m2:+", false, false, []moraine.BlobRef{"m2:+"}},
		{"m2:a+b+c", false, false, []moraine.BlobRef{"m2:a+b+c"}},
		{"m2:ab", false, false, []moraine.BlobRef{"m2:ab"}},
		{"m2:m2:a+b", false, false, []moraine.BlobRef{"m2:m2:a+b"}},
	} {
		if a, b := mirror.Lacks(test.ref); a != test.lacks1 || b != test.lacks2 {
			t.Errorf("%q lacks %v, %v, want %v, %v", test.ref, a, b, test.lacks1, test.lacks2)
		}
		if diff := cmp.Diff(test.parts, newPair(t, nil).store.Split(test.ref)); diff != "" {
			t.Errorf("parts of %q (-want +got):\n%s", test.ref, diff)
		}
		alone := mirror.New(mirror.Config{Primary: mem.New()})
		if diff := cmp.Diff([]moraine.BlobRef{test.ref}, alone.Split(test.ref)); diff != "" {
			t.Errorf("parts of %q without a mirror (-want +got):\n%s", test.ref, diff)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ ref, part, joined, replaced moraine.BlobRef }{
		{"m2:a+b", "m2:+b", "m2:a+b", ""},
		{"m2:a+b", "m2:a+", "m2:a+b", ""},
		{"a", "m2:a+", "a", ""},
		{"a", "m2:+b", "m2:a+b", ""},
		{"m2:a+", "m2:+b", "m2:a+b", ""},
		{"m2:a+b", "m2:+c", "m2:a+c", "m2:+b"},
		{"a", "m2:c+", "m2:c+", "m2:a+"},
		{"m2:spoilt", "m2:c+", "m2:c+", "m2:spoilt"},
	} {
		joined, replaced := newPair(t, nil).store.Join(test.ref, test.part)
		if joined != test.joined || replaced != test.replaced {
			t.Errorf("%q with %q is %q in place of %q, want %q, %q", test.ref, test.part, joined, replaced, test.joined, test.replaced)
		}
	}
}

// TestNames asks references about copies, as a walk shows them.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ref, part moraine.BlobRef
		want      bool
	}{
		{"m2:a+b", "m2:a+", true},
		{"m2:a+b", "m2:+b", true},
		{"m2:a+b", "m2:b+", false},
		{"m2:a+b", "m2:c+", false},
		{"m2:+b", "m2:a+", false},
		{"a", "m2:a+", true},
		{"a", "a", true},
		{"m2:a+b", "a", true},
		{"m2:c+b", "a", false},
		{"m2:", "m2:a+", true},
	} {
		if got := mirror.Names(tt.ref, tt.part); got != tt.want {
			t.Errorf("%q names %q: %v, want %v", tt.ref, tt.part, got, tt.want)
		}
	}
}

// FuzzRef takes references apart and joins them again.
func FuzzRef(f *testing.F) {
	for _, ref := range []string{"", "a", "m2:", "m2:a+b", "m2:+b", "m2:a+", "m2:+", "m2:a+b+c", "m2:m2:a+b", "m2:a+m2:b+"} {
		f.Add(ref)
	}
	s := newPair(f, nil).store
	f.Fuzz(func(t *testing.T, text string) {
		ref := moraine.BlobRef(text)
		parts := s.Split(ref)
		joined := parts[0]
		for _, part := range parts {
			joined, _ = s.Join(joined, part)
			if again := s.Split(part); len(again) != 1 || again[0] != part {
				t.Errorf("the part %q of %q has parts %q", part, ref, again)
			}
		}
		if joined != ref && joined != "m2:"+ref+"+" {
			t.Errorf("the parts %q of %q make %q", parts, ref, joined)
		}
		if a, b := mirror.Lacks(ref); strings.HasPrefix(text, "m2:") && a && b {
			t.Errorf("%q lacks both", ref)
		}
	})
}

// TestSecondStoreTakenAway reads and deletes what was put when there was one.
func TestSecondStoreTakenAway(t *testing.T) {
	t.Parallel()
	p := newPair(t, nil)
	i := p.put([]byte("mirrored"))
	only := moraine.BlobRef("m2:+" + half(t, i.Ref, 1))
	p.store = mirror.New(mirror.Config{Primary: p.sides[0]})
	p.wantBytes(i.Ref, []byte("mirrored"))
	if _, err := p.read(only, 0, 1); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("a blob of the second store alone: %v", err)
	}
	if err := p.store.Delete(t.Context(), only); err != nil {
		t.Errorf("delete of a blob of the second store alone: %v", err)
	}
	if err := p.store.Delete(t.Context(), i.Ref); err != nil {
		t.Error(err)
	}
	p.wantHeld("deleted without the second store", [2]int{0, 1})
	if missing, err := p.store.Missing(t.Context(), "m2:a+"); err != nil || missing != nil {
		t.Errorf("without a mirror %v are missing, %v", missing, err)
	}
}

// TestBeforeTheMirror reads, deletes and mends what was put before there was a
// second store.
func TestBeforeTheMirror(t *testing.T) {
	t.Parallel()
	p := newPair(t, nil)
	both := p.store
	p.store = mirror.New(mirror.Config{Primary: p.sides[0]})
	data := bytesOf(3 << 20)
	kept, gone := p.put(data), p.put([]byte("old"))
	if strings.HasPrefix(string(kept.Ref), "m2:") {
		t.Fatalf("one store made the reference %q", kept.Ref)
	}
	p.store = both
	p.wantBytes(kept.Ref, data)
	if err := p.store.Delete(t.Context(), gone.Ref); err != nil {
		t.Error(err)
	}
	if missing, err := p.store.Missing(t.Context(), kept.Ref); err != nil || !cmp.Equal(missing, []string{mirror.Second}) {
		t.Errorf("%v are missing, %v; want the second copy", missing, err)
	}
	m := p.mend(kept)
	if m.Ref != "m2:"+kept.Ref+"+"+half(t, m.Ref, 1) || len(m.Drop) != 0 || len(m.Made) != 1 {
		t.Errorf("mended %+v", m)
	}
	p.wantHeld("mended", [2]int{1, 1})
	p.wantBytes(moraine.BlobRef("m2:+"+half(t, m.Ref, 1)), data)
}

// TestAloneCostsNothing compares a wrapper over one store with the store. It is
// not parallel: it counts allocations.
func TestAloneCostsNothing(t *testing.T) {
	direct := mem.New()
	wrapped := mirror.New(mirror.Config{Primary: direct})
	ref, err := wrapped.Put(t.Context(), newID(), strings.NewReader("x"), 1)
	if err != nil {
		t.Fatal(err)
	}
	read := func(s blob.Store) float64 {
		return testing.AllocsPerRun(100, func() {
			r, err := s.Open(t.Context(), ref, 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := read(direct), read(wrapped); b > a {
		t.Errorf("Open allocates %.0f times through the wrapper, %.0f times without", b, a)
	}
}
