package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"moraine/internal/blob/mirror"
	"moraine/internal/blob/s3"
	"moraine/internal/disk"
)

// Files that say which directory of blobs belongs to what. Format: never
// change. See docs/format/mirror.md.
const (
	storageFile  = "storage"  // in the data directory: what belongs to it
	identityFile = "identity" // in a directory of blobs: what it is

	storageMagic  = "moraine storage 1"
	identityMagic = "moraine blobs 1"

	fieldSet        = "set"
	fieldStore      = "store"
	fieldRole       = "role"
	fieldPrimary    = mirror.Primary
	fieldMirror     = mirror.Second
	fieldRebuilding = "rebuilding"
)

// label says what a directory of blobs is.
type label struct {
	set   string // of the data directory
	store string // of this directory; one that takes its place has another
	role  string // mirror.Primary or mirror.Second
}

// record says what directories of blobs a data directory has.
type record struct {
	set        string
	stores     map[string]string // by role; the mirror may be missing
	rebuilding map[string]bool   // by role
}

// label is what the directory for a role must say.
func (r *record) label(role string) label { return label{r.set, r.stores[role], role} }

// newStoreID names a store, or a set of them, for ever.
func newStoreID() string {
	var raw [16]byte
	rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

func validStoreID(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 16 && hex.EncodeToString(raw) == s
}

func formatLabel(l label) string {
	return fmt.Sprintf("%s\n%s %s\n%s %s\n%s %s\n", identityMagic, fieldSet, l.set, fieldStore, l.store, fieldRole, l.role)
}

func parseLabel(text string) (label, error) {
	lines, err := fields(text, identityMagic)
	if err != nil {
		return label{}, err
	}
	var l label
	for _, f := range lines {
		switch {
		case f.name == fieldSet && validStoreID(f.value):
			l.set = f.value
		case f.name == fieldStore && validStoreID(f.value):
			l.store = f.value
		case f.name == fieldRole && validRole(f.value):
			l.role = f.value
		default:
			return label{}, fmt.Errorf("%q means nothing here", f.name+" "+f.value)
		}
	}
	if formatLabel(l) != text {
		return label{}, errors.New("the lines are not those that were written")
	}
	return l, nil
}

func formatRecord(r record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s %s\n%s %s\n", storageMagic, fieldSet, r.set, fieldPrimary, r.stores[mirror.Primary])
	if second := r.stores[mirror.Second]; second != "" {
		fmt.Fprintf(&b, "%s %s\n", fieldMirror, second)
	}
	for _, role := range roles {
		if r.rebuilding[role] {
			fmt.Fprintf(&b, "%s %s\n", fieldRebuilding, role)
		}
	}
	return b.String()
}

func parseRecord(text string) (record, error) {
	lines, err := fields(text, storageMagic)
	if err != nil {
		return record{}, err
	}
	r := record{stores: map[string]string{}, rebuilding: map[string]bool{}}
	for _, f := range lines {
		switch {
		case f.name == fieldSet && validStoreID(f.value):
			r.set = f.value
		case validRole(f.name) && validStoreID(f.value):
			r.stores[f.name] = f.value
		case f.name == fieldRebuilding && validRole(f.value):
			r.rebuilding[f.value] = true
		default:
			return record{}, fmt.Errorf("%q means nothing here", f.name+" "+f.value)
		}
	}
	if r.stores[mirror.Primary] == "" || formatRecord(r) != text {
		return record{}, errors.New("the lines are not those that were written")
	}
	return r, nil
}

var roles = [...]string{mirror.Primary, mirror.Second}

func validRole(s string) bool { return s == mirror.Primary || s == mirror.Second }

type field struct{ name, value string }

// fields reads the lines of a file that begins with magic.
func fields(text, magic string) ([]field, error) {
	first, rest, _ := strings.Cut(text, "\n")
	if first != magic {
		return nil, fmt.Errorf("the first line is not %q: another program wrote it, or a newer version of this one", magic)
	}
	var all []field
	for line := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		all = append(all, field{name, value})
	}
	return all, nil
}

// blobDir is a directory, or a bucket, of blobs as it was found.
type blobDir struct {
	path    string
	role    string // that it shall have
	present bool
	label   *label    // nil if it says nothing
	bucket  *s3.Store // of a bucket; nil for a directory
	stocked bool      // there are files with blobs in it
	other   bool      // there is something in it, known or not
}

// lookAt looks into a directory of blobs and changes nothing.
func (d *data) lookAt(path, role string) (blobDir, error) {
	b := blobDir{path: path, role: role}
	err := d.fsys.List(path, func(name string) error {
		switch name {
		case identityFile, identityFile + ".new", lockFile, "lost+found":
		default:
			b.other = true
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("look into %s: %w", path, err)
	}
	b.present = true
	text, err := d.place.readSmall(filepath.Join(path, identityFile))
	switch {
	case err == nil:
		l, err := parseLabel(string(text))
		if err != nil {
			return b, fmt.Errorf("%s: %w", filepath.Join(path, identityFile), err)
		}
		b.label = &l
	case !errors.Is(err, fs.ErrNotExist):
		return b, fmt.Errorf("look into %s: %w", path, err)
	}
	b.stocked, err = d.holdsBlobs(path)
	return b, err
}

// errFound ends a look that has found what it wants.
var errFound = errors.New("found")

// holdsBlobs reports whether a directory of blobs has any file for them.
func (d *data) holdsBlobs(path string) (bool, error) {
	any := func(string) error { return errFound }
	shard := func(name string) error { return d.list(filepath.Join(path, "sealed", name), any) }
	for _, look := range []error{
		d.list(filepath.Join(path, "open"), any), d.list(filepath.Join(path, "lost"), any), d.list(filepath.Join(path, "sealed"), shard),
	} {
		switch {
		case errors.Is(look, errFound):
			return true, nil
		case look != nil:
			return false, fmt.Errorf("look into %s: %w", path, look)
		}
	}
	return false, nil
}

// list is FS.List for a directory that may be missing.
func (d *data) list(dir string, fn func(name string) error) error {
	err := d.fsys.List(dir, fn)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// stick makes a directory say what it is, durably.
func (d *data) stick(path string, l label) error {
	if err := disk.MkdirAll(d.fsys, path); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := disk.WriteFile(d.fsys, filepath.Join(path, identityFile), []byte(formatLabel(l))); err != nil {
		return fmt.Errorf("write the identity of %s: %w", path, err)
	}
	return nil
}

// readRecord reads what belongs to the data directory; found is false if it was
// never written.
func (d *data) readRecord() (r record, found bool, err error) {
	text, err := d.place.readSmall(d.path(storageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return record{stores: map[string]string{}, rebuilding: map[string]bool{}}, false, nil
	}
	if err == nil {
		r, err = parseRecord(string(text))
	}
	if err != nil {
		return r, false, fmt.Errorf("%s: %w", d.path(storageFile), err)
	}
	return r, true, nil
}

func (d *data) writeRecord(r record) error { return d.write(storageFile, formatRecord(r)) }

// sameDir reports whether two paths lead to one directory.
func sameDir(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}
