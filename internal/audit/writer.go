package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"moraine/internal/disk"
)

// Bounds of the blank lines written ahead of the records, in bytes: as much as
// the file holds already, within these.
const (
	fillMin = 64 << 10
	fillMax = 1 << 20
)

var blank = bytes.Repeat([]byte("\n"), fillMin)

// writer appends to the file of an hour. It belongs to whoever has the turn of
// its trail.
//
// The end of the file is blank lines, which records overwrite. To sync bytes
// that lie within a file and in blocks that were written before takes one write;
// to sync a file that grew, or whose blocks are only reserved, takes a second
// one for the journal of the file system. What a crash leaves there is blank
// lines, or zeros, or part of what was being written; recovery keeps whole lines
// that continue the chain.
type writer struct {
	log    *Log
	region string

	file   disk.File // nil if it must be opened, at first and after a failure
	hour   string    // of the file that is written
	size   int64     // of its durable part, where the queue continues
	filled int64     // where its blank lines end
}

// write appends a chunk to its file and makes it durable. When the disk is full
// it takes what it needs from the reserve.
func (w *writer) write(c chunk) error {
	if w.log.cfg.Out != nil {
		_, err := w.log.cfg.Out.Write(c.text)
		return err
	}
	for {
		err := w.try(c)
		if err != nil && w.file != nil && !disk.IsFull(err) {
			// What of it is on disk is uncertain: the next attempt begins with
			// the durable part. A file that is merely full stays open, since
			// somebody else would take the space that truncating it gives back.
			_ = w.file.Close()
			w.file = nil
		}
		if err == nil || !disk.IsFull(err) || !w.log.reserve.release() {
			return err
		}
	}
}

func (w *writer) try(c chunk) error {
	if w.hour < c.hour {
		if err := w.finish(); err != nil {
			return err
		}
		w.hour, w.size = c.hour, 0
	}
	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	end := w.size + int64(len(c.text))
	if _, err := w.file.WriteAt(c.text, w.size); err != nil {
		return err
	}
	filled := w.filled
	if filled < end {
		var err error
		if filled, err = w.fill(end); err != nil {
			return err
		}
	}
	// A crash here leaves some of the lines, perhaps part of one. Nobody was
	// told that they are there; Open cuts off what does not continue the chain.
	if w.log.cfg.Sync != Off {
		if err := w.file.Sync(); err != nil {
			if disk.IsFull(err) {
				// The space was promised and is not there.
				_ = w.file.Close()
				w.file = nil
			}
			return err
		}
	}
	// The lines are durable.
	w.size, w.filled = end, filled
	return nil
}

// fill writes blank lines behind the records, up to a whole number of pages,
// and returns where they end. It does without them if there is no space.
func (w *writer) fill(end int64) (int64, error) {
	const page = 4 << 10
	target := end + min(max(end, fillMin), fillMax)
	target -= target % page
	for at := end; at < target; {
		n, err := w.file.WriteAt(blank[:min(int64(len(blank)), target-at)], at)
		if disk.IsFull(err) {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		at += int64(n)
	}
	return target, nil
}

// open opens the file that is written, at its durable part, and makes its name
// durable.
func (w *writer) open() error {
	f, err := w.log.cfg.FS.Open(w.path(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(w.size), w.log.cfg.FS.SyncDir(w.log.cfg.Dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	w.file, w.filled = f, w.size
	return nil
}

// finish takes the blank lines off the file and closes it. Every line of it is
// durable; so is its size then, also without Sync. A crash on the way leaves
// the blank lines, which no reader minds.
func (w *writer) finish() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	return errors.Join(f.Truncate(w.size), f.Sync(), f.Close())
}

func (w *writer) path() string {
	return filepath.Join(w.log.cfg.Dir, linesName(w.region, w.hour))
}
