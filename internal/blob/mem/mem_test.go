package mem_test

import (
	"testing"

	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/mem"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return mem.New() })
}
