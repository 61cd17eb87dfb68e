package pack

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// recoverReadMax bounds the data of large files that recovery reads. Files
// beyond it are judged by all but their data; one that a crash tore there is
// kept as a blob that no row names, to be found by the search for orphans.
const recoverReadMax = 1 << 30

// recover brings the files in open/ to the state in which the sealer can move
// them, removes those that never became blobs, and moves the others. A file
// that cannot be read now stays, and everything else goes on.
func (s *Store) recover() error {
	var names []fileName
	err := s.fs.List(s.openDir(), func(base string) error {
		if n, ok := parseFileName(base); ok {
			names = append(names, n)
		}
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	budget := int64(recoverReadMax)
	var good []fileName
	for _, n := range names {
		end, err := s.recoverFile(n, &budget)
		switch {
		case err != nil:
			s.log.Error("unfinished file could not be recovered and stays", "file", n.base(), "error", err)
			u, err := s.addUnsealed(n)
			if err != nil {
				return err
			}
			u.end.Store(endUnknown)
		case end == 0:
			if err := s.discard(n); err != nil {
				return unavailable(err)
			}
		default:
			u, err := s.addUnsealed(n)
			if err != nil {
				return err
			}
			u.end.Store(end)
			good = append(good, n)
		}
	}
	s.sealer.seal(good)
	return nil
}

// discard removes a file of open/ in which there is no good record. One that
// holds nothing but space is what an interrupted Put leaves. One that holds
// something is most likely the same, cut by a loss of power; but it could be a
// blob that was acknowledged and is damaged, so its bytes are kept in lost/.
func (s *Store) discard(n fileName) error {
	blank, err := s.blank(n)
	if err != nil {
		return err
	}
	if blank {
		s.log.Info("unfinished file removed", "file", n.base())
		return s.remove(s.openPath(n))
	}
	if err := disk.MkdirAll(s.fs, s.lostDir()); err != nil {
		return err
	}
	s.log.Warn("file without a good record moved to lost", "file", n.base())
	if err := s.fs.Rename(s.openPath(n), filepath.Join(s.lostDir(), n.base())); err != nil {
		return err
	}
	// A crash before both are synced leaves the file at one of its names: the
	// next Open finds it here again, or it is already where it should be.
	return errors.Join(s.fs.SyncDir(s.lostDir()), s.syncOpen())
}

// blank reports whether the place where the first record would begin was never
// written. Put writes the headers of a large file last, and those of a shared
// pack with its first record.
func (s *Store) blank(n fileName) (bool, error) {
	f, err := s.fs.Open(s.openPath(n), os.O_RDONLY)
	if err != nil {
		return false, err
	}
	var p [headerSize]byte
	err = readAt(f, p[:], fileHeaderSize)
	if isDamage(err) {
		err = nil // the file ends before: p stays zero
	}
	return p == [headerSize]byte{}, errors.Join(err, f.Close())
}

// newer reports whether err says that a record is whole and not of this
// version. Recovery leaves such a file alone: it never guesses.
func newer(err error) bool { return errors.Is(err, errVersion) || errors.Is(err, errFields) }

// passOver steps over damage, but stops at records of a newer version.
func passOver(_, _ int64, cause error) error {
	if newer(cause) {
		return cause
	}
	return nil
}

// endUnknown is the end of a file that could not be read.
const endUnknown = 1 << 62

// recoverFile finds the end of the good records of a file, 0 if there are none.
func (s *Store) recoverFile(n fileName, budget *int64) (end int64, err error) {
	f, err := s.fs.Open(s.openPath(n), os.O_RDWR)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	rec := &recovery{
		verifier: verifier{f: f, name: n, buf: make([]byte, min(size, treehash.LeafSize))},
		file:     f, size: size,
	}
	if n.kind == shared {
		return rec.sharedEnd(s)
	}
	return rec.singleEnd(budget)
}

// recovery reads one file of open/.
type recovery struct {
	verifier
	file disk.File
	size int64
}

// singleEnd returns the end of a large file, 0 if it is torn.
func (rc *recovery) singleEnd(budget *int64) (int64, error) {
	h, err := readHeader(rc.f, rc.name, fileHeaderSize)
	if err == nil {
		err = checkFileHeader(rc.f, rc.name)
	}
	at := shape{kind: single, off: fileHeaderSize, size: h.size}
	if err == nil {
		err = rc.structure(at)
	}
	if *budget -= h.size; err == nil && *budget >= 0 {
		_, err = rc.frames(at, nil)
	}
	switch {
	case newer(err):
		return 0, err
	case isDamage(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return at.end(), nil
}

// sharedEnd finds where the good records of a shared pack end and marks what a
// crash tore before that.
func (rc *recovery) sharedEnd(s *Store) (int64, error) {
	base, err := rc.lastBatch()
	if err != nil {
		return 0, err
	}
	if base == 0 {
		return 0, nil // no record was ever written
	}
	end, torn, err := rc.checkBatch(base)
	if err != nil {
		return 0, err
	}
	if base == fileHeaderSize {
		// The first batch is the last one, and the file header was written with
		// it: it may be torn too, and holds nothing that is not known.
		if err := rc.renewFileHeader(s); err != nil {
			return 0, err
		}
	}
	if err := rc.keepRest(s, base, end, len(torn) > 0); err != nil {
		return 0, err
	}
	for _, t := range torn {
		s.log.Warn("unacknowledged bytes set aside after a crash", "file", rc.name.base(), "offset", t.from, "bytes", t.to-t.from)
		var p [headerSize]byte
		header{kind: kindTorn, span: t.to - t.from, base: base, dead: true}.encode(p[:], rc.name.id, shared, t.from)
		if _, err := rc.file.WriteAt(p[:], t.from); err != nil {
			return 0, err
		}
	}
	// What is good becomes durable before it is sealed: this process may have
	// read it from a cache that a failed sync left ahead of the disk.
	if err := rc.file.Sync(); err != nil {
		return 0, err
	}
	return end, nil
}

// keepRest copies the last batch to lost/ before it is trimmed, if that would
// cut away anything that was written.
func (rc *recovery) keepRest(s *Store, base, end int64, torn bool) error {
	to := min(rc.size, end+batchMax)
	rest := make([]byte, max(0, to-base))
	if n, err := rc.f.ReadAt(rest, base); err != nil && err != io.EOF {
		return err
	} else if rest = bytes.TrimRight(rest[:n], "\x00"); !torn && int64(len(rest)) <= end-base {
		return nil
	}
	if err := disk.MkdirAll(s.fs, s.lostDir()); err != nil {
		return err
	}
	name := filepath.Join(s.lostDir(), rc.name.base()+"."+strconv.FormatInt(base, 10))
	s.log.Warn("the last batch did not survive whole; a copy is kept in lost", "file", rc.name.base(), "offset", base, "bytes", len(rest))
	return disk.WriteFile(s.fs, name, rest)
}

func (rc *recovery) renewFileHeader(s *Store) error {
	if err := checkFileHeader(rc.f, rc.name); !isDamage(err) || newer(err) {
		return err
	}
	var p [fileHeaderSize]byte
	fileHeader{kind: rc.name.kind, id: rc.name.id, made: s.cfg.Now().UnixMilli()}.encode(p[:])
	_, err := rc.file.WriteAt(p[:], 0)
	return err
}

// lastBatch is the offset of the last batch that was begun, 0 if none was.
func (rc *recovery) lastBatch() (int64, error) {
	var last int64
	sc := newScanner(rc.f, rc.name, rc.size)
	sc.damaged = passOver
	sc.record = func(_ int64, h header) error {
		last = max(last, h.base)
		return nil
	}
	_, err := sc.run(fileHeaderSize)
	return last, err
}

// checkBatch reads the records from offset base on and returns the end of the
// last good one and the ranges before that in which there is none.
func (rc *recovery) checkBatch(base int64) (end int64, torn []hole, err error) {
	end = base
	sc := newScanner(rc.f, rc.name, rc.size)
	sc.damaged = passOver
	sc.record = func(off int64, h header) error {
		if off+h.span <= base || h.kind == kindEnd {
			return nil
		}
		if off >= base && h.kind == kindBlob && !h.dead {
			at := shape{kind: shared, off: off, size: h.size}
			err := rc.structure(at)
			if err == nil {
				_, err = rc.frames(at, nil)
			}
			if isDamage(err) {
				return nil
			}
			if err != nil && !errors.Is(err, errDying) {
				return err
			}
		}
		if off > end {
			torn = append(torn, hole{end, off})
		}
		end = off + h.span
		return nil
	}
	_, err = sc.run(fileHeaderSize)
	return end, torn, err
}
