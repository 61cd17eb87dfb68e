package moraine_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"moraine"
)

func TestIDForms(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		make  func() string
		chars int
		bytes int
	}{
		{"archive", func() string { return string(moraine.NewArchiveID(now)) }, 138, 103},
		{"upload", func() string { return string(moraine.NewUploadID(now)) }, 92, 69},
		{"job", func() string { return string(moraine.NewJobID(now)) }, 92, 69},
		{"request", func() string { return moraine.NewRequestID(now) }, 47, 35},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			seen := make(map[string]bool)
			for range 1000 {
				id := tt.make()
				if len(id) != tt.chars {
					t.Fatalf("id %q has %d characters, want %d", id, len(id), tt.chars)
				}
				raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
				if err != nil || len(raw) != tt.bytes {
					t.Fatalf("id %q decodes to %d bytes (%v), want %d", id, len(raw), err, tt.bytes)
				}
				if strings.HasPrefix(id, "-") {
					t.Fatalf("id %q begins with a dash", id)
				}
				if seen[id] {
					t.Fatalf("id %q was made twice", id)
				}
				seen[id] = true
			}
		})
	}
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	last := ""
	for range 500 {
		id := string(moraine.NewArchiveID(at))
		if id <= last {
			t.Fatalf("id %q of a later instant sorts before %q", id, last)
		}
		last = id
		at = at.Add(time.Duration(1+len(last)) * 977 * time.Millisecond)
	}
}

func TestBlobIDRoundTrip(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 5, 6, 7, 8, 9, int(123*time.Millisecond), time.UTC)
	id := moraine.NewBlobID(now)
	if !id.Time().Equal(now) {
		t.Errorf("blob id of %v says %v", now, id.Time())
	}
	back, err := moraine.ParseBlobID(id.String())
	if err != nil || back != id {
		t.Errorf("ParseBlobID(%q) = %v, %v", id, back, err)
	}
	for _, bad := range []string{"", "zz", id.String() + "00", id.String()[1:]} {
		if _, err := moraine.ParseBlobID(bad); err == nil {
			t.Errorf("ParseBlobID(%q) succeeded", bad)
		}
	}
}

func TestPartSizes(t *testing.T) {
	t.Parallel()
	valid := 0
	for shift := range 45 {
		for _, n := range []int64{1<<shift - 1, 1 << shift, 1<<shift + 1} {
			if !moraine.ValidPartSize(n) {
				continue
			}
			valid++
			if n&(n-1) != 0 || n < 1<<20 || n > 1<<32 {
				t.Errorf("part size %d is accepted", n)
			}
		}
	}
	if valid != 13 {
		t.Errorf("%d part sizes are accepted, want 13", valid)
	}
}

func TestVaultNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "A.b-c_9": true, strings.Repeat("v", 255): true, "...": true,
		"": false, ".": false, "..": false, strings.Repeat("v", 256): false,
		"a b": false, "a/b": false, "é": false, "a\x00": false, "a:b": false,
	} {
		if got := moraine.ValidVaultName(name); got != want {
			t.Errorf("ValidVaultName(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestPageLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want int
		ok   bool
	}{
		{"", 50, true}, {"1", 1, true}, {"50", 50, true}, {"51", 50, true}, {"007", 7, true},
		{"99999999999999999999999", 50, true},
		{"0", 0, false}, {"-1", 0, false}, {"+1", 0, false}, {"x", 0, false}, {"1.5", 0, false}, {" 1", 0, false},
		{"-99999999999999999999999", 0, false},
	} {
		got, err := moraine.PageLimit(tt.in, 50)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("PageLimit(%q) = %d, %v; want %d, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
		if !tt.ok && err.Error() != "Invalid limit: "+tt.in {
			t.Errorf("PageLimit(%q) says %q", tt.in, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add(moraine.Position{Created: time.UnixMilli(1700000000000).UTC(), ID: "x"}.Marker())
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, marker string) {
		p, err := moraine.ParsePosition(marker)
		if err != nil || marker == "" {
			return
		}
		if back := p.Marker(); back != marker {
			t.Errorf("marker %q reads as %+v, which prints %q", marker, p, back)
		}
	})
}

func TestStampKeepsSnapshots(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_000).UTC()
	v := moraine.Vault{LastWrite: at.Add(5 * time.Millisecond), Live: moraine.Figures{Archives: 2, Bytes: 7}}
	v.TakeInventory(at)
	if !v.Inventoried.Equal(v.LastWrite) {
		t.Errorf("a snapshot at %v names writes of %v", v.Inventoried, v.LastWrite)
	}
	for _, now := range []time.Time{at, v.Inventoried, v.Inventoried.Add(time.Millisecond), v.Inventoried.Add(time.Hour)} {
		if got := v.Stamp(now); !got.After(v.Inventoried) {
			t.Errorf("Stamp(%v) = %v, not after the snapshot of %v", now, got, v.Inventoried)
		}
	}
	if got, want := v.Inventory.SizeInBytes(), int64(7+2*32768); got != want {
		t.Errorf("SizeInBytes = %d, want %d", got, want)
	}
}
