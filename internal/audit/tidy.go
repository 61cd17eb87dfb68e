package audit

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"moraine/internal/disk"
)

const (
	newSuffix = ".new" // of a file that is not complete
	// expireMax is how many hours are removed within an hour at most, so that a
	// clock far in the future is noticed before much is lost.
	expireMax = 24
)

// Tidy closes the files of past hours, compresses them, lists them in
// manifests, removes those whose retention has ended, and makes the reserve
// whole. It may be interrupted anywhere and is simply done again.
func (l *Log) Tidy(ctx context.Context) error {
	if l.cfg.Out != nil {
		return nil
	}
	l.tidy.Lock()
	defer l.tidy.Unlock()
	l.reserve.refill()
	now := l.hour(l.cfg.Now()).name
	for _, t := range l.all() {
		if err := t.turnOver(now); err != nil {
			return fmt.Errorf("close a file of the audit log: %w", err)
		}
	}
	s, err := survey(l.cfg.FS, l.cfg.Dir)
	if err != nil {
		return err
	}
	hours := make(map[string][]stored)
	for _, files := range s.lines {
		for _, f := range files {
			if f.plain && f.hour < now {
				hours[f.hour] = append(hours[f.hour], f)
			}
		}
	}
	var order []string
	for hour := range hours {
		order = append(order, hour)
	}
	slices.Sort(order)
	for _, hour := range order {
		if err := l.archive(ctx, s, hour, hours[hour]); err != nil {
			return err
		}
	}
	if l.untidy() { // once an hour: see expireMax
		if err := l.expire(s); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tidied = now
	return nil
}

// archive compresses the plain files of an hour that is over, and then lists
// them in its manifest.
//
// In the order of the steps: a compressed file gets its name when it is
// complete, durable and read back; a crash before leaves the plain file alone,
// one after leaves both. The manifest, and the names of all compressed files,
// are durable before a plain file is removed, so a file that is compressed only
// is always listed. What a crash leaves, or an operation that failed or seemed
// to, is done again from the beginning: what is there under a final name may not
// be durable.
func (l *Log) archive(ctx context.Context, s *surveyed, hour string, files []stored) error {
	slices.SortFunc(files, func(x, y stored) int { return compare(x.name(), y.name()) })
	m := manifest{Version: manifestVersion, Hour: hour}
	var done []stored
	for _, f := range files {
		entry, err := l.compress(ctx, f)
		var bad *Damage
		if errors.As(err, &bad) {
			l.leave(f, bad)
			continue
		}
		if err != nil {
			return err
		}
		done = append(done, f)
		m.Files = append(m.Files, entry)
	}
	if len(done) == 0 {
		return nil
	}
	ok, err := l.list(s, &m)
	if err != nil || !ok {
		return err
	}
	if err := disk.WriteFile(l.cfg.FS, filepath.Join(l.cfg.Dir, manifestName(hour)), m.text); err != nil {
		return err
	}
	// The manifest is durable.
	for _, f := range done {
		if err := l.cfg.FS.Remove(filepath.Join(l.cfg.Dir, f.name())); err != nil && !missing(err) {
			return err
		}
	}
	return l.cfg.FS.SyncDir(l.cfg.Dir)
}

// leave says once that a file is not as it was written. It is evidence, and
// stays as it is.
func (l *Log) leave(f stored, bad error) {
	if l.told.first("leave " + f.name()) {
		l.cfg.Log.Error("a file of the audit log is left as it is; moraine audit verify tells more", "err", bad)
	}
}

// list makes the text of a manifest: that of the one there is, if it lists the
// same, else a new one behind the newest.
func (l *Log) list(s *surveyed, m *manifest) (bool, error) {
	before := manifest{link: link{hash: genesis}}
	if n := len(s.manifests); n > 0 && s.manifests[n-1] >= m.Hour {
		old, err := readManifest(l.cfg.FS, l.cfg.Dir, m.Hour)
		if err != nil && !missing(err) {
			return false, err
		}
		for _, f := range m.Files {
			if was, ok := old.lists(f.Name); !ok || was != f {
				region, hour, _ := parseLinesName(f.Name)
				l.leave(stored{region: region, hour: hour}, &Damage{File: f.Name, Why: "its hour was closed without it"})
				return false, nil
			}
		}
		m.text = old.text
		return true, nil
	} else if n > 0 {
		var err error
		if before, err = readManifest(l.cfg.FS, l.cfg.Dir, s.manifests[n-1]); err != nil {
			return false, err
		}
	}
	if err := m.encode(&before); err != nil {
		return false, err
	}
	s.manifests = append(s.manifests, m.Hour)
	return true, nil
}

// compress makes the compressed file of a plain one that is complete, over any
// there is, and returns its entry for the manifest.
func (l *Log) compress(ctx context.Context, s stored) (listed, error) {
	path := filepath.Join(l.cfg.Dir, s.name())
	var c contents
	if err := c.readPlain(l.cfg.FS, l.cfg.Dir, s, nil); err != nil {
		return listed{}, err
	}
	tmp := path + gzipSuffix + newSuffix
	err := l.writeGzip(ctx, path, tmp, c.size)
	if err == nil {
		var back contents
		if bad := back.readGzip(l.cfg.FS, tmp, nil); bad != nil || back.listing(s) != c.listing(s) {
			// Not a *Damage: nothing of the log is bad.
			err = fmt.Errorf("%s does not read back as it was written: %v", tmp, bad) //nolint:errorlint // see above
		}
	}
	if err != nil {
		// It is useless, and may be what fills the disk.
		_ = l.cfg.FS.Remove(tmp)
		return listed{}, fmt.Errorf("compress the audit log: %w", err)
	}
	// The compressed file is complete and durable under another name. What makes
	// the manifest durable does so for this name, too.
	return c.listing(s), l.cfg.FS.Rename(tmp, path+gzipSuffix)
}

// writeGzip compresses the beginning of a file into another, durably.
func (l *Log) writeGzip(ctx context.Context, from, to string, size int64) (err error) {
	in, err := l.cfg.FS.Open(from, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := l.cfg.FS.Open(to, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(0); err != nil {
		return err
	}
	w := bufio.NewWriterSize(io.NewOffsetWriter(out, 0), 64<<10)
	z := gzip.NewWriter(w)
	if _, err := io.Copy(z, &interruptible{ctx, io.NewSectionReader(in, 0, size)}); err != nil {
		return err
	}
	if err := errors.Join(z.Close(), w.Flush()); err != nil {
		return err
	}
	return out.Sync()
}

// interruptible ends with ctx.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// expire removes compressed files whose retention has ended, whole hours, the
// oldest first. The newest manifest stays, since the next one continues it. A
// crash on the way leaves a manifest that lists files that are gone; the next
// Tidy removes it.
func (l *Log) expire(s *surveyed) error {
	if l.cfg.Retention == 0 {
		return nil
	}
	var due []string
	for _, hour := range s.manifests[:max(0, len(s.manifests)-1)] {
		t, err := time.Parse(hourFormat, hour)
		if err != nil || l.cfg.Now().Before(t.Add(time.Hour+l.cfg.Retention)) || len(due) == expireMax {
			break
		}
		due = append(due, hour)
	}
	if len(due) == 0 {
		return nil
	}
	l.Service(FilesRemoved, map[string]any{"from": due[0], "through": due[len(due)-1]})
	if err := l.Flush(); err != nil {
		return err
	}
	// That they are removed is on record.
	for _, hour := range due {
		m, err := readManifest(l.cfg.FS, l.cfg.Dir, hour)
		if err != nil {
			return err
		}
		for _, f := range m.Files {
			if err := l.cfg.FS.Remove(filepath.Join(l.cfg.Dir, f.Name+gzipSuffix)); err != nil && !missing(err) {
				return err
			}
		}
		if err := errors.Join(l.cfg.FS.SyncDir(l.cfg.Dir), l.cfg.FS.Remove(filepath.Join(l.cfg.Dir, manifestName(hour)))); err != nil {
			return err
		}
	}
	return l.cfg.FS.SyncDir(l.cfg.Dir)
}
