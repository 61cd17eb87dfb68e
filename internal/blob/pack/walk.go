package pack

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"moraine/internal/blob"
	"moraine/internal/disk"
)

// Walk implements blob.Walker. It reads headers only.
func (s *Store) Walk(ctx context.Context, fn func(blob.Info) error, damaged func(error)) error {
	done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if damaged == nil {
		damaged = func(error) {}
	}
	return s.eachFile(ctx, func(n fileName) error {
		return s.walkFile(ctx, n, fn, damaged)
	})
}

// eachFile calls fn once for each file of the store: those in open/ first,
// since they move to sealed/ and would otherwise be missed.
func (s *Store) eachFile(ctx context.Context, fn func(fileName) error) error {
	seen := map[fileName]bool{} // bounded like open/
	visit := func(base string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, ok := parseFileName(base)
		if !ok || seen[n] {
			return nil
		}
		return fn(n)
	}
	var first []string
	err := s.fs.List(s.openDir(), func(base string) error {
		first = append(first, base)
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	for _, base := range first {
		if err := visit(base); err != nil {
			return err
		}
		if n, ok := parseFileName(base); ok {
			seen[n] = true
		}
	}
	var shards []string
	err = s.fs.List(s.sealedDir(), func(base string) error {
		shards = append(shards, base)
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	for _, shard := range shards {
		var stop error
		err := s.fs.List(filepath.Join(s.sealedDir(), shard), func(base string) error {
			stop = visit(base)
			return stop
		})
		if stop != nil {
			return stop
		}
		if err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// stopped carries an error of the caller's function through a scan.
type stopped struct{ error }

func (s stopped) Unwrap() error { return s.error }

// walkFile shows the live blobs of one file. Only fn's error ends the walk:
// a file that cannot be read is damage to report and step over.
func (s *Store) walkFile(ctx context.Context, n fileName, fn func(blob.Info) error, damaged func(error)) error {
	f, _, err := s.find(n, os.O_RDONLY)
	if isMissing(err) {
		return nil // removed meanwhile
	}
	if err != nil {
		damaged(faulty(n, 0, err))
		return nil
	}
	defer f.Close() // only read
	w := walker{s: s, n: n, damaged: damaged, fn: func(i blob.Info) error {
		if err := ctx.Err(); err != nil {
			return stopped{err}
		}
		if err := fn(i); err != nil {
			return stopped{err}
		}
		return nil
	}}
	err = w.walk(f)
	var stop stopped
	if errors.As(err, &stop) {
		return stop.error
	}
	if err != nil {
		damaged(faulty(n, 0, err))
	}
	return nil
}

type walker struct {
	s       *Store
	n       fileName
	fn      func(blob.Info) error
	damaged func(error)
	live    int
	wrong   int
}

func (w *walker) walk(f disk.File) error {
	u := w.s.findUnsealed(w.n)
	size, err := f.Size()
	if err != nil {
		return err
	}
	if u != nil {
		end := u.end.Load()
		if w.n.kind == single && end == 0 {
			return nil // being written
		}
		size = min(size, end)
	}
	if err := checkFileHeader(f, w.n); err != nil {
		if !isDamage(err) {
			return err
		}
		w.report(0, err)
	}
	sc := newScanner(f, w.n, size)
	sc.damaged = func(from, _ int64, cause error) error {
		w.report(from, cause)
		return nil
	}
	sc.record = w.record
	if w.n.kind == single {
		return w.walkSingle(f, sc, size)
	}
	sealed, err := sc.run(fileHeaderSize)
	if err != nil {
		return err
	}
	if !sealed && u == nil {
		w.report(size, errShort)
	}
	if sealed && w.live == 0 && w.wrong == 0 {
		w.s.reaper.inspect(w.n)
	}
	return nil
}

// walkSingle looks at the one record of a large file.
func (w *walker) walkSingle(f disk.File, sc *scanner, size int64) error {
	h, err := readHeader(f, w.n, fileHeaderSize)
	switch {
	case isDamage(err):
		w.report(fileHeaderSize, err)
		return nil
	case err != nil:
		return err
	case fileHeaderSize+h.span > size:
		w.report(size, errShort)
	}
	return sc.record(fileHeaderSize, h)
}

func (w *walker) report(off int64, cause error) {
	w.wrong++
	w.damaged(damage(w.n, off, cause))
}

func (w *walker) record(off int64, h header) error {
	if h.kind != kindBlob || h.dead {
		return nil
	}
	w.live++
	return w.fn(blob.Info{ID: h.blob, Ref: refOf(w.n, off, h).blobRef(), Size: h.size})
}

// refOf is the reference to a record.
func refOf(n fileName, off int64, h header) ref {
	return ref{id: n.id, crc: h.crc, shape: shape{kind: n.kind, off: off, size: h.size}}
}
