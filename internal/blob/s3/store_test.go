package s3_test

import (
	"testing"

	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
)

// TestFake runs the suite over a store in this process.
func TestFake(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := open(t, newFake(t, nil).config())
		notes, err := s.Probe(t.Context())
		if err != nil || len(notes) > 0 {
			t.Fatalf("Probe: %v, %v", notes, err)
		}
		return s
	})
}
