package pack_test

import (
	"testing"

	"moraine"
	"moraine/internal/blob/pack"
)

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{
		"", "s.01a20391a264509f0e7a.140.2cd.0765cd10", "l.01a20391a264509f0e7a.40.100001.ffffffff",
		"l.01a20391a264509f0e7a.80.1.00000000", "s.01A20391a264509f0e7a.40.1.00000000", "s.01a20391a264509f0e7a.040.1.00000000",
		"s.01a20391a264509f0e7a.40.0.00000000", "s.01a20391a264509f0e7a.-40.1.00000000", "s.01a20391a264509f0e7a.40.1.0",
		"s.01a20391a264509f0e7a.41.1.00000000", "s.01a20391a264509f0e7a.40.fffffffffffffff.00000000", "x.01a20391a264509f0e7a.40.1.00000000",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		printed, err := pack.ParseRef(moraine.BlobRef(s))
		if err == nil && string(printed) != s {
			t.Errorf("%q reads as %q", s, printed)
		}
		if err != nil && !moraine.IsKind(err, moraine.Invalid) {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	first := pack.Record(64, 64, []byte("hello"))
	second := pack.Record(64+int64(len(first)), 64, make([]byte, 300))
	whole := append(append(make([]byte, 64), first...), second...)
	f.Add(whole, 0, byte(0))
	f.Add(whole, 70, byte(1))
	f.Add(whole[:len(whole)-1], 120, byte(0xff))
	f.Fuzz(func(t *testing.T, p []byte, at int, mask byte) {
		if len(p) > 1<<16 {
			return
		}
		p = append([]byte{}, p...)
		if at >= 0 && at < len(p) {
			p[at] ^= mask
		}
		if _, _, err := pack.ReadRecords(p); err != nil {
			t.Errorf("scan: %v", err)
		}
	})
}

func TestRecords(t *testing.T) {
	t.Parallel()
	first := pack.Record(64, 64, []byte("hello"))
	second := pack.Record(64+int64(len(first)), 64, make([]byte, 300))
	whole := append(append(make([]byte, 64), first...), second...)
	if n, damaged, err := pack.ReadRecords(whole); n != 2 || damaged != 0 || err != nil {
		t.Errorf("two records: %d, %d damaged, %v", n, damaged, err)
	}
	whole[70] ^= 1
	if n, damaged, err := pack.ReadRecords(whole); n != 1 || damaged != 1 || err != nil {
		t.Errorf("a damaged record and another: %d, %d damaged, %v", n, damaged, err)
	}
}
