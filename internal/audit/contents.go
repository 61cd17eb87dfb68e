package audit

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"moraine/internal/disk"
)

// Damage is the first line that is not as it was written, or not where.
type Damage struct {
	File string
	Line int64 // from 1; 0 if it is the file as a whole
	Why  string
}

func (d *Damage) Error() string {
	if d.Line == 0 {
		return fmt.Sprintf("%s: %s", d.File, d.Why)
	}
	return fmt.Sprintf("%s, line %d: %s", d.File, d.Line, d.Why)
}

// stored is the lines of a region and an hour, in one file or two.
type stored struct {
	region, hour string
	plain, gzip  bool
}

// name is the name of the plain file.
func (s stored) name() string { return linesName(s.region, s.hour) }

// surveyed is what there is in the directory of a log.
type surveyed struct {
	lines     map[string][]stored // by region, in the order of hours
	manifests []string            // hours, in order
}

// survey lists the directory of a log.
func survey(fsys disk.FS, dir string) (*surveyed, error) {
	type key struct{ region, hour string }
	found := make(map[key]stored)
	s := &surveyed{lines: make(map[string][]stored)}
	err := fsys.List(dir, func(name string) error {
		if hour, ok := parseManifestName(name); ok {
			s.manifests = append(s.manifests, hour)
			return nil
		}
		plain, compressed := strings.CutSuffix(name, gzipSuffix)
		region, hour, ok := parseLinesName(plain)
		if !ok {
			return nil
		}
		f := found[key{region, hour}]
		f.region, f.hour = region, hour
		f.plain, f.gzip = f.plain || !compressed, f.gzip || compressed
		found[key{region, hour}] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the audit log: %w", err)
	}
	for _, f := range found {
		s.lines[f.region] = append(s.lines[f.region], f)
	}
	for _, files := range s.lines {
		slices.SortFunc(files, func(x, y stored) int { return compare(x.hour, y.hour) })
	}
	slices.Sort(s.manifests)
	return s, nil
}

// latest is the latest hour of any file, "" if there is none. The hour of a
// manifest is over.
func (s *surveyed) latest() string {
	hour := ""
	for _, files := range s.lines {
		hour = max(hour, files[len(files)-1].hour)
	}
	if n := len(s.manifests); n > 0 && s.manifests[n-1] >= hour {
		return nextHour(s.manifests[n-1])
	}
	return hour
}

// lineMax bounds a line, in bytes: the members at their bounds, each byte of
// them escaped.
const lineMax = 4 << 20

// contents is what was found out about the lines of a file.
type contents struct {
	records     int64
	first, last link
	size        int64     // of the lines, without blank ones at the end
	sum         hash.Hash // of the lines
}

// digest is the SHA-256 of the lines.
func (c *contents) digest() (d digest) {
	if c.sum == nil {
		c.sum = sha256.New()
	}
	hex.Encode(d[:], c.sum.Sum(nil))
	return d
}

// tries is how often a bad line at the end of a plain file is read: a server
// may be writing it.
const tries = 4

// readPlain reads the plain file of s. follow says what is wrong with the place
// of a line, "" if nothing is; nil is content with any. A bad line is a *Damage.
func (c *contents) readPlain(fsys disk.FS, dir string, s stored, follow func(link) string) (err error) {
	path := filepath.Join(dir, s.name())
	f, err := fsys.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for range tries {
		size, sizeErr := f.Size()
		if sizeErr != nil {
			return sizeErr
		}
		var bad *Damage
		// What was good stays good, and is not read again.
		err = c.scan(io.NewSectionReader(f, c.size, size-c.size), path, follow)
		if !errors.As(err, &bad) {
			return err
		}
	}
	return err
}

// readGzip is readPlain for a compressed file.
func (c *contents) readGzip(fsys disk.FS, path string, follow func(link) string) (err error) {
	f, err := fsys.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(bufio.NewReader(io.NewSectionReader(f, 0, size)))
	if err == nil {
		err = c.scan(z, path, follow)
	}
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.As(err, &corrupt) {
		return &Damage{File: path, Why: "it does not decompress: " + err.Error()}
	}
	return err
}

// scan reads lines up to blank ones, behind which there must be nothing else.
func (c *contents) scan(r io.Reader, path string, follow func(link) string) error {
	if c.sum == nil {
		c.sum = sha256.New()
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineMax)
	lines.Split(splitLines)
	ended := false
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 1 && line[0] == '\n' {
			ended = true
			continue
		}
		why := "there is a blank line before it"
		if !ended {
			why = c.line(line, follow)
		}
		if why != "" {
			return &Damage{path, c.records + 1, why}
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return &Damage{path, c.records + 1, "it is longer than any record"}
	}
	return lines.Err()
}

// line checks one line and says what is wrong with it, "" if nothing is.
func (c *contents) line(line []byte, follow func(link) string) string {
	text, whole := bytes.CutSuffix(line, []byte("\n"))
	if !whole {
		return "it is not complete: a server is writing it, or a crash cut it off"
	}
	l, err := parseLine(text)
	if err != nil {
		return err.Error()
	}
	if follow != nil {
		if why := follow(l); why != "" {
			return why
		}
	}
	if c.records == 0 {
		c.first = l
	}
	c.records++
	c.last = l
	c.size += int64(len(line))
	c.sum.Write(line)
	return ""
}

// splitLines splits after each newline, which stays. Blank lines that follow
// each other come as one.
func splitLines(data []byte, atEOF bool) (int, []byte, error) {
	if n := blankLines(data); n > 0 {
		return n, data[:1], nil
	}
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// blankLines counts the newlines that text begins with.
func blankLines(text []byte) int { return len(text) - len(bytes.TrimLeft(text, "\n")) }
