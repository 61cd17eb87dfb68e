package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"moraine/internal/disk"
)

// Report is what Verify found.
type Report struct {
	Files, Records int64
	First, Last    int64  // numbers of the first and the last record, 0 for none
	Hash           string // of the last record
}

// Damage is the first line that is not as it was written, or not where.
type Damage struct {
	File string
	Line int64 // from 1
	Why  string
}

func (d *Damage) Error() string { return fmt.Sprintf("%s, line %d: %s", d.File, d.Line, d.Why) }

// lineMax bounds a line, in bytes: the members at their bounds, each byte of
// them escaped.
const lineMax = 4 << 20

// Verify follows the chain through all files of a log, which may be in use. The
// first record has the number first: 1, unless older files were put away. A
// *Damage error names the first bad line. Records missing at the very end leave
// no trace in the chain: compare Report.Last and Report.Hash with what was noted
// before.
func Verify(fsys disk.FS, dir string, first int64) (Report, error) {
	var r Report
	names, err := files(fsys, dir)
	if err != nil {
		if missing(err) {
			err = fmt.Errorf("there is no audit log: %w", err)
		}
		return r, err
	}
	for _, name := range names {
		if err := r.file(fsys, filepath.Join(dir, name), first); err != nil {
			return r, err
		}
		r.Files++
	}
	return r, nil
}

func (r *Report) file(fsys disk.FS, path string, first int64) (err error) {
	f, err := fsys.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(io.NewSectionReader(f, 0, size))
	lines.Buffer(nil, lineMax)
	lines.Split(wholeLines)
	at := Damage{File: path}
	for lines.Scan() {
		at.Line++
		if at.Why = r.line(lines.Bytes(), first); at.Why != "" {
			return &at
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		at.Line++
		at.Why = "it is longer than any record"
		return &at
	}
	return lines.Err()
}

// line checks one line and says what is wrong with it, "" if nothing is.
func (r *Report) line(line []byte, first int64) string {
	text, whole := bytes.CutSuffix(line, []byte("\n"))
	if !whole {
		return "it is not complete: a server is writing it, or a crash cut it off"
	}
	l, err := parseLine(text)
	switch {
	case err != nil:
		return err.Error()
	case r.Records == 0 && l.seq != first:
		return fmt.Sprintf("it has number %d where %d is expected", l.seq, first)
	case r.Records == 0 && first == 1 && l.prev != genesis:
		return "it is the first record but names one before it"
	case r.Records > 0 && l.seq != r.Last+1:
		return fmt.Sprintf("it has number %d where %d is expected", l.seq, r.Last+1)
	case r.Records > 0 && l.prev != r.Hash:
		return "it does not continue the chain of the record before it"
	}
	if r.Records == 0 {
		r.First = l.seq
	}
	r.Records++
	r.Last, r.Hash = l.seq, l.hash
	return ""
}

// wholeLines splits after each newline, which stays.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
