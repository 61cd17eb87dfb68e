package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"moraine"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// Dump describes one file of a store, record by record: offset, kind, state,
// blob id, length, and whether every checksum holds. It changes nothing and
// needs no open store; the name of the file must be the one it was made with.
// Damage is described too, and is then the error, of kind Corrupt.
func Dump(ctx context.Context, fsys disk.FS, path string, w io.Writer) (err error) {
	n, ok := parseFileName(filepath.Base(path))
	if !ok {
		return moraine.Errorf(moraine.Invalid, "%s is not named like a pack", filepath.Base(path))
	}
	f, err := fsys.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	d := &dump{ctx: ctx, w: w, verifier: verifier{f: f, name: n, buf: make([]byte, treehash.BatchSize())}}
	if err := d.fileHeader(size); err != nil {
		return err
	}
	sc := newScanner(f, n, size)
	sc.record, sc.damaged = d.record, d.damaged
	sealed, err := sc.run(fileHeaderSize)
	if err != nil {
		return err
	}
	if n.kind == shared && !sealed {
		if err := d.print("no end record: the pack is not sealed, or has lost its tail\n"); err != nil {
			return err
		}
	}
	return d.bad
}

type dump struct {
	verifier
	ctx context.Context // of the one call
	w   io.Writer
	bad error // the first damage
}

func (d *dump) print(format string, args ...any) error {
	_, err := fmt.Fprintf(d.w, format, args...)
	return err
}

func (d *dump) note(off int64, err error) {
	if d.bad == nil {
		d.bad = faulty(d.name, off, err)
	}
}

func (d *dump) fileHeader(size int64) error {
	var p [fileHeaderSize]byte
	err := readAt(d.f, p[:], 0)
	var h fileHeader
	if err == nil {
		h, err = decodeFileHeader(p[:])
	}
	if err == nil && (h.kind != d.name.kind || h.id != d.name.id) {
		err = errOther
	}
	if err != nil {
		d.note(0, err)
		return d.print("file %s, %d bytes, header damaged: %v\n", d.name.base(), size, err)
	}
	kind := "shared pack"
	if h.kind == single {
		kind = "large blob"
	}
	return d.print("file %s, %d bytes, version %d, %s, made %s\n",
		d.name.base(), size, p[8], kind, time.UnixMilli(h.made).UTC().Format(time.RFC3339Nano))
}

func (d *dump) damaged(from, to int64, cause error) error {
	d.note(from, cause)
	return d.print("%12d  damaged, %d bytes: %v\n", from, to-from, cause)
}

func (d *dump) record(off int64, h header) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if h.kind != kindBlob {
		return d.print("%12d  %-4s  span %d\n", off, h.kind, h.span)
	}
	if h.dead {
		return d.print("%12d  dead  blob %s  length %d  span %d\n", off, h.blob, h.size, h.span)
	}
	at := shape{kind: d.name.kind, off: off, size: h.size}
	root, where, err := d.whole(d.ctx, at)
	if err != nil {
		if errors.Is(err, errDying) {
			return d.print("%12d  live  blob %s  length %d  span %d  %v\n", off, h.blob, h.size, h.span, err)
		}
		if !isDamage(err) {
			return err
		}
		d.note(where, err)
		return d.print("%12d  live  blob %s  length %d  span %d  damaged at %d: %v\n", off, h.blob, h.size, h.span, where, err)
	}
	return d.print("%12d  live  blob %s  length %d  span %d  frames %d  tree hash %s  ok\n      ref %s\n",
		off, h.blob, h.size, h.span, at.frames(), root, refOf(d.name, off, h))
}
