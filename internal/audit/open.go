package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"moraine/internal/disk"
)

// Names of files sort by time.
//
// format: never change
const (
	namePrefix = "audit-"
	nameSuffix = ".jsonl"
	nameHour   = "2006-01-02T15"
	tornSuffix = ".torn"
)

// fileName is the file of an instant: there is one an hour.
func fileName(at time.Time) string { return namePrefix + at.UTC().Format(nameHour) + nameSuffix }

// tailMax bounds what is read of the end of a file to find its last line. What
// a crash may damage is at most the queue.
const tailMax = 2 * queueMax

// Open opens the log and continues the chain where the last file ends. What a
// crash left of a line is cut off, kept in a file of its own, and recorded.
func Open(cfg Config) (*Log, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{cfg: cfg, noise: newNoise(cfg.Now), last: link{hash: genesis}}
	if cfg.Out != nil {
		return l, nil
	}
	if err := disk.MkdirAll(cfg.FS, cfg.Dir); err != nil {
		return nil, fmt.Errorf("make the directory of the audit log: %w", err)
	}
	names, err := files(cfg.FS, cfg.Dir)
	if err != nil {
		return nil, err
	}
	for i := len(names) - 1; i >= 0; i-- {
		found, err := l.resume(names[i])
		if err != nil {
			return nil, fmt.Errorf("audit log %s: %w", filepath.Join(cfg.Dir, names[i]), err)
		}
		if found {
			break
		}
	}
	l.durable = l.last.seq
	// What resume found out is durable, and whatever Sync is, the log is known
	// to be writable.
	l.Service("AuditOpened", map[string]any{"continues": l.last.seq})
	if err := l.Flush(); err != nil {
		return nil, fmt.Errorf("write the audit log: %w", err)
	}
	return l, nil
}

// files lists the files of the log in order.
func files(fsys disk.FS, dir string) ([]string, error) {
	var names []string
	err := fsys.List(dir, func(name string) error {
		if strings.HasPrefix(name, namePrefix) && strings.HasSuffix(name, nameSuffix) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the audit log: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// resume makes the last whole line of a file the end of the chain; found is
// false if there is none. What follows that line is cut off.
func (l *Log) resume(name string) (found bool, err error) {
	path := filepath.Join(l.cfg.Dir, name)
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
	last, whole := lastLine(tail)
	if last.seq == 0 && from > 0 {
		return false, fmt.Errorf("there is no whole line in the last %d bytes; move the file away to begin a new chain, and keep it", len(tail))
	}
	if torn := tail[whole:]; len(torn) > 0 {
		if err := disk.WriteFile(l.cfg.FS, path+tornSuffix, torn); err != nil {
			return false, err
		}
		// What is cut off is safe in its own file.
		if err := errors.Join(f.Truncate(from+int64(whole)), f.Sync()); err != nil {
			return false, err
		}
		l.cfg.Log.Warn("an audit record was cut short by a crash", "file", path, "bytes", len(torn))
		defer l.Service("AuditTruncated", map[string]any{"file": name, "bytes": len(torn)})
	}
	if l.name == "" {
		l.name, l.size = name, from+int64(whole)
	}
	if last.seq > 0 {
		l.last = last
	}
	return last.seq > 0, nil
}

// lastLine finds the last line in tail that is what was written, and where it
// ends.
func lastLine(tail []byte) (last link, end int) {
	end = bytes.LastIndexByte(tail, '\n') + 1
	for end > 0 {
		begin := bytes.LastIndexByte(tail[:end-1], '\n') + 1
		if l, err := parseLine(tail[begin : end-1]); err == nil {
			return l, end
		}
		end = begin
	}
	return link{}, 0
}

// missing reports whether err says that there is no such directory.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
