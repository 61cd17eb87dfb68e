package server

import (
	"context"
	"io"

	"moraine/internal/blob/pack"
	"moraine/internal/disk"
)

// DumpPack prints the records of one pack file.
func DumpPack(ctx context.Context, name string, w io.Writer) error {
	return pack.Dump(ctx, disk.NewOS(), name, w)
}
