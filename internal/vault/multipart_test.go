package vault

import (
	"testing"

	"moraine"
	"moraine/internal/treehash"
)

func TestParseContentRange(t *testing.T) {
	t.Parallel()
	type span struct{ first, last int64 }
	for sent, want := range map[string]span{
		"bytes 0-0/*":                           {0, 0},
		"bytes 0-1048575/*":                     {0, 1048575},
		"BYTES 1048576-2097151/*":               {1048576, 2097151},
		"bytes 0-9/10":                          {0, 9},
		"bytes 000-009/*":                       {0, 9},
		"bytes 42949668667960-42949672959999/*": {42949668667960, 42949672959999},
	} {
		first, last, err := parseContentRange(sent)
		if err != nil || first != want.first || last != want.last {
			t.Errorf("parseContentRange(%q) = %d, %d, %v; want %v", sent, first, last, err, want)
		}
	}
	for _, sent := range []string{
		"bytes=0-9/*", "bytes=0-9", "bytes%200-9/*", "bytes 0-9", "bytes 9-0/*", "bytes 909994937-909994936/*",
		"bytes -9/*", "bytes 0-/*", "bytes a-9/*", "bytes 0-9/x", "bytes 0-9/", "0-9/*", "bytes  0-9/*",
		"bytes 0-99999999999999999999/*", "bytes +0-9/*", "bytes 0-9/*/*", "items 0-9/*", "bytes 0--9/*",
	} {
		_, _, err := parseContentRange(sent)
		if err == nil || err.Error() != "Invalid Content-Range: "+sent || !moraine.IsKind(err, moraine.Invalid) {
			t.Errorf("parseContentRange(%q) = %v", sent, err)
		}
	}
}

func TestParsePartSize(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"1048576", "0001048576", "4294967296", "0000000000000004294967296"} {
		if _, err := parsePartSize(sent); err != nil {
			t.Errorf("parsePartSize(%q): %v", sent, err)
		}
	}
	for _, sent := range []string{"0", "-1048576", "+1048576", "1e6", "0x100000", "1,048,576", "10485760", "1048575", "8589934592", "text", "1048576.0", "99999999999999999999999"} {
		_, err := parsePartSize(sent)
		want := "Invalid part size: " + sent + ". Part size must not be null, must be a power of two and be between 1048576 and 4294967296 bytes."
		if err == nil || err.Error() != want {
			t.Errorf("parsePartSize(%q) = %v, want %q", sent, err, want)
		}
	}
	if _, err := parsePartSize(""); err == nil || err.Error() != "Required parameter missing: x-amz-part-size" {
		t.Errorf("parsePartSize of nothing = %v", err)
	}
}

// TestAssemble checks what §5.3 wants of the parts, and that the hash of the
// whole is combined from those of the parts.
func TestAssemble(t *testing.T) {
	t.Parallel()
	const p = moraine.MiB
	data := make([]byte, 5*p+p/2)
	for i := range data {
		data[i] = byte(i * 7 % 251)
	}
	part := func(first, size int64) moraine.Extent {
		h := treehash.NewHasher()
		h.Write(data[first : first+size])
		return moraine.Extent{First: first, Size: size, TreeHash: h.Tree()}
	}
	const whole = "dec019e4fa1e19c77797183e6b6ed8d733d5df7486060b6121f3bbdae9a6d6d4"
	good := []moraine.Extent{part(0, 2*p), part(2*p, 2*p), part(4*p, p+p/2)}
	want := completion{total: 5*p + p/2, size: "5767168", treeHash: whole}
	for _, tt := range []struct {
		name    string
		parts   []moraine.Extent
		want    completion
		refusal string
	}{
		{"whole", good, want, ""},
		{"hash in capitals", good, completion{want.total, want.size, "DEC019E4FA1E19C77797183E6B6ED8D733D5DF7486060B6121F3BBDAE9A6D6D4"}, ""},
		{"no parts", nil, want, "Invalid multipart upload: missing content range 0-5767167"},
		{"first missing", good[1:], want, "Invalid multipart upload: missing content range 0-2097151"},
		{"middle missing", []moraine.Extent{good[0], good[2]}, want, "Invalid multipart upload: missing content range 2097152-4194303"},
		{"short middle", []moraine.Extent{good[0], part(2*p, p), good[2]}, want, "Invalid multipart upload: missing content range 3145728-4194303"},
		{"wrong size", good, completion{1, "1", whole}, "Invalid x-amz-archive-size: 1"},
		{"last missing", good[:2], want, "Invalid x-amz-archive-size: 5767168"},
		{"wrong hash", good, completion{want.total, want.size, "00"}, "Invalid x-amz-sha256-tree-hash: 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, err := assemble(tt.parts, 2*p, tt.want)
			switch {
			case tt.refusal == "" && (err != nil || root.String() != whole):
				t.Errorf("assemble = %s, %v; want %s", root, err, whole)
			case tt.refusal != "" && (err == nil || err.Error() != tt.refusal):
				t.Errorf("assemble = %v, want %q", err, tt.refusal)
			}
		})
	}
}

func FuzzPartMarker(f *testing.F) {
	f.Add(partMarker(0, "u"))
	f.Add(partMarker(1<<40, "u"))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		first, err := parsePartMarker(s, "u")
		if err == nil && s != "" && partMarker(first, "u") != s {
			t.Errorf("marker %q reads as %d, which prints %q", s, first, partMarker(first, "u"))
		}
	})
}

func TestPartMarker(t *testing.T) {
	t.Parallel()
	m := partMarker(1<<42, "mine")
	if len(m) != 50 {
		t.Errorf("marker %q has %d characters, want 50", m, len(m))
	}
	if first, err := parsePartMarker(m, "mine"); err != nil || first != 1<<42 {
		t.Errorf("parsePartMarker = %d, %v", first, err)
	}
	if _, err := parsePartMarker(m, "other"); err == nil {
		t.Error("the marker of another upload is accepted")
	}
}
