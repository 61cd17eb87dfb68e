package vault_test

import (
	"bytes"
	"testing"
)

// TestDeniedAfterUploads forbids uploads to somebody who uploaded a moment
// ago: the first refused one may have its body read, the next has not, and
// nothing of either stays. Another caller is always looked at first.
func TestDeniedAfterUploads(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	upload := func(who string) (read bool, err error) {
		data := pattern(1000, 1)
		body := &hookReader{r: bytes.NewReader(data), hook: func() { read = true }}
		_, _, err = h.UploadArchive(t.Context(), h.as(who), "v1", request(data), body)
		return read, err
	}
	for range 2 {
		if _, err := upload("bob"); err != nil {
			t.Fatal(err)
		}
	}
	h.must(h.SetVaultAccessPolicy(t.Context(), h.call, "v1", text(denyAll)))
	for i, mayRead := range []bool{true, false, false} {
		read, err := upload("bob")
		if got := outcome(err); got != "D access-policy-explicit" || read && !mayRead {
			t.Errorf("refused upload %d: %s, body read: %v", i, got, read)
		}
	}
	if read, err := upload("rootA"); err == nil || read {
		t.Errorf("a caller not seen before: %v, body read: %v", err, read)
	}
	if got := h.blobCount(); got != 2 {
		t.Errorf("%d blobs are kept of two uploads", got)
	}
}
