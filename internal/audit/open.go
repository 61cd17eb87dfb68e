package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"moraine/internal/disk"
)

// tailMax bounds what is read of the end of a file to find its last line. What
// a crash may damage is at most the queue and the blank lines behind it.
const tailMax = 2*queueMax + fillMax

// Open opens the log and continues each chain where its last file ends. What a
// crash left of a line is cut off, kept in a file of its own, and recorded.
func Open(cfg Config) (*Log, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Region == "" {
		cfg.Region = defaultRegion
	}
	l := &Log{cfg: cfg, noise: newNoise(cfg.Now), told: newTold(), trails: make(map[string]*trail)}
	l.current.Store(hourOf(cfg.Now()))
	if cfg.Out != nil {
		l.trails[cfg.Region] = newTrail(l, cfg.Region)
		return l, nil
	}
	if !regionName.MatchString(cfg.Region) {
		return nil, fmt.Errorf("audit log: %q is no name of a region", cfg.Region)
	}
	if err := disk.MkdirAll(cfg.FS, cfg.Dir); err != nil {
		return nil, fmt.Errorf("make the directory of the audit log: %w", err)
	}
	s, err := survey(cfg.FS, cfg.Dir)
	if err != nil {
		return nil, err
	}
	if l.reserve, err = openReserve(&l.cfg); err != nil {
		return nil, err
	}
	l.reserve.refill()
	if err := l.begin(s); err != nil {
		return nil, err
	}
	return l, nil
}

// begin continues the chains of what is in the directory.
func (l *Log) begin(s *surveyed) error {
	// No line is added to an hour that was closed, whatever the clock says.
	if latest, err := time.Parse(hourFormat, s.latest()); err == nil {
		l.hour(latest)
	}
	for region, files := range s.lines {
		if region == "" {
			continue // the chain of version 1, which the default region continues
		}
		t := newTrail(l, region)
		l.trails[region] = t
		if err := l.resume(t, files); err != nil {
			return err
		}
	}
	t := l.trails[l.cfg.Region]
	if t == nil {
		t = newTrail(l, l.cfg.Region)
		l.trails[l.cfg.Region] = t
	}
	if !l.continues() {
		// The first start of this version: no region has a line yet.
		if err := l.resume(t, s.lines[""]); err != nil {
			return err
		}
	}
	for _, details := range l.truncated {
		l.Service(Truncated, details)
	}
	heads := make(map[string]any, len(l.trails))
	for region, t := range l.trails {
		heads[region] = map[string]any{"seq": t.last.seq, "hash": t.last.hash.String()}
	}
	l.Service(Opened, map[string]any{"continues": heads})
	// What was found out is durable, and whatever Sync is, the log is known to
	// be writable.
	if err := l.Flush(); err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// continues reports whether a chain has a line.
func (l *Log) continues() bool {
	for _, t := range l.trails {
		if t.last.seq > 0 {
			return true
		}
	}
	return false
}

// resume makes the last whole line of the files of a chain its end. A file
// that has none does not count.
func (l *Log) resume(t *trail, files []stored) error {
	for i := len(files) - 1; i >= 0; i-- {
		found, err := l.resumeFile(t, files[i])
		if err != nil {
			return fmt.Errorf("audit log %s: %w", filepath.Join(l.cfg.Dir, files[i].name()), err)
		}
		if found {
			break
		}
	}
	return nil
}

// resumeFile looks for the last whole line of a file; found is false if there
// is none. What follows that line is cut off.
func (l *Log) resumeFile(t *trail, s stored) (found bool, err error) {
	if !s.plain {
		return l.resumeGzip(t, s)
	}
	path := filepath.Join(l.cfg.Dir, s.name())
	f, err := l.cfg.FS.Open(path, os.O_RDWR)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	from := max(0, size-tailMax)
	tail := make([]byte, size-from)
	if _, err := io.ReadFull(io.NewSectionReader(f, from, size-from), tail); err != nil && size > from {
		return false, err
	}
	begin := 0
	if from > 0 {
		begin = bytes.IndexByte(tail, '\n') + 1
	}
	end := followLines(tail, begin)
	if end.last.seq == 0 && from > 0 {
		return false, fmt.Errorf("there is no whole line in the last %d bytes; move the file away to begin a new chain, and keep it", len(tail))
	}
	if end.damaged {
		l.cfg.Log.Error("an audit record was altered or removed; moraine audit verify tells which", "file", path)
	}
	whole := from + int64(end.at)
	if torn := bytes.TrimRight(tail[end.at:], "\n"); len(torn) > 0 {
		if err := disk.WriteFile(l.cfg.FS, path+tornSuffix, torn); err != nil {
			return false, err
		}
		// What is cut off is safe in its own file.
		if err := errors.Join(f.Truncate(whole), f.Sync()); err != nil {
			return false, err
		}
		l.cfg.Log.Warn("an audit record was cut short by a crash", "file", path, "bytes", len(torn))
		l.truncated = append(l.truncated, map[string]any{"file": s.name(), "bytes": len(torn)})
	}
	if s.region == t.region && t.file.hour == "" {
		t.file.hour, t.file.size = s.hour, whole
	}
	if end.last.seq > 0 {
		t.last = end.last
	}
	return end.last.seq > 0, nil
}

// lastLine is the last whole line of some text.
type lastLine struct {
	last    link
	at      int  // where it ends
	damaged bool // a line before it is not as it was written
}

// followLines follows the chain from the line at begin on, forward: of lines
// that were being written a crash may keep the last and lose the first. Where
// it lost something there are blank lines or zeros, as before the writing, and
// the chain ends there. A line that is bad without such a hole has another
// history, and is no reason to cut off those behind it.
func followLines(text []byte, begin int) lastLine {
	end := lastLine{at: begin}
	for {
		l, next := nextLine(text, end.at)
		if next < 0 {
			return end
		}
		gap := text[end.at : next-lineLength(text[:next])]
		if bytes.Contains(gap, []byte("\n\n")) || bytes.HasPrefix(gap, []byte("\n")) || bytes.IndexByte(gap, 0) >= 0 {
			return end
		}
		if len(gap) > 0 || end.last.seq > 0 && (l.seq != end.last.seq+1 || l.prev != end.last.hash) {
			end.damaged = true
		}
		end.last, end.at = l, next
	}
}

// nextLine finds the first whole line from a place on, and where it ends; -1 if
// there is none.
func nextLine(text []byte, from int) (link, int) {
	for {
		from += blankLines(text[from:])
		n := bytes.IndexByte(text[from:], '\n')
		if n < 0 {
			return link{}, -1
		}
		l, err := parseLine(text[from : from+n])
		from += n + 1
		if err == nil {
			return l, from
		}
	}
}

// lineLength is the length of the last line of text, which ends in a newline.
func lineLength(text []byte) int {
	return len(text) - 1 - bytes.LastIndexByte(text[:len(text)-1], '\n')
}

// resumeGzip finds the last line of a compressed file, which no crash damages.
func (l *Log) resumeGzip(t *trail, s stored) (found bool, err error) {
	var c contents
	if err := c.readGzip(l.cfg.FS, filepath.Join(l.cfg.Dir, s.name()+gzipSuffix), nil); err != nil {
		return false, err
	}
	t.last = c.last
	return c.records > 0, nil
}

// missing reports whether err says that there is no such file or directory.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func compare(x, y string) int { return cmp.Compare(x, y) }
