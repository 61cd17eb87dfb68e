package s3_test

import (
	"bytes"
	"testing"

	"moraine"
	"moraine/internal/blob/s3"
)

const sampleID = "01a204ee9bee0c78c468963e12b2cc8e4882b161f99fa824"

func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"", "s1:" + sampleID + ":2:a0:2cd", "s1:" + sampleID + ":0:0:100001", "s1:" + sampleID + ":0:1:1", "s1:" + sampleID + ":1:0:1",
		"s1:" + sampleID + ":401:8100:1", "s1:" + sampleID + ":2:a0:100001", "s1:" + sampleID + ":02:a0:1", "s1:" + sampleID + ":2:A0:1",
		"s2:" + sampleID + ":2:a0:2cd", "s1:" + sampleID[2:] + ":2:a0:2cd", "24/" + sampleID + ".p2", "24/" + sampleID + ".l300001",
		"25/" + sampleID + ".p2", "24/" + sampleID + "/a0", "24/" + sampleID + "/0", "24/" + sampleID + ".x1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		printed, err := s3.ParseRef(moraine.BlobRef(s))
		if err == nil && string(printed) != s {
			t.Errorf("%q reads as the reference %q", s, printed)
		}
		if err != nil && !moraine.IsKind(err, moraine.Invalid) {
			t.Errorf("%q: %v", s, err)
		}
		if printed, ok := s3.ParseObject(s); ok && printed != s {
			t.Errorf("%q reads as the object %q", s, printed)
		}
		if printed, ok := s3.ParseMark(s); ok && printed != s {
			t.Errorf("%q reads as the mark %q", s, printed)
		}
	})
}

// FuzzDecode changes a byte of good bytes, or gives any, and decodes them: what is
// taken for good is encoded as the same bytes, zeros that mean nothing aside.
func FuzzDecode(f *testing.F) {
	for _, p := range s3.Samples() {
		f.Add(p, 0, byte(0), false)
		f.Add(p, len(p)/2, byte(1), true)
		f.Add(p[:len(p)-1], 20, byte(0x80), true)
	}
	f.Fuzz(func(t *testing.T, p []byte, at int, mask byte, repair bool) {
		if len(p) > 1<<16 {
			return
		}
		p = bytes.Clone(p)
		if len(p) > 0 {
			p[uint(at)%uint(len(p))] ^= mask
		}
		if repair {
			s3.Repair(p)
		}
		index, head, tail := s3.Decode(p)
		for _, again := range [][]byte{index, head, tail} {
			if again == nil {
				continue
			}
			if len(again) > len(p) {
				t.Fatalf("%d bytes decode to %d", len(p), len(again))
			}
			i2, h2, t2 := s3.Decode(again)
			if !bytes.Equal(i2, index) || !bytes.Equal(h2, head) && head != nil || !bytes.Equal(t2, tail) {
				t.Errorf("%x is encoded as %x, which reads as something else", p, again)
			}
		}
	})
}

func TestSamples(t *testing.T) {
	t.Parallel()
	for n, p := range s3.Samples() {
		index, head, tail := s3.Decode(p)
		if !bytes.Equal([][]byte{index, head, tail}[n], p) {
			t.Errorf("sample %d does not read as itself", n)
		}
	}
}
