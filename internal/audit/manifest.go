package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"moraine/internal/disk"
)

// manifestVersion is the version of the form of a manifest.
//
// format: never change
const manifestVersion = 1

// manifestMax bounds the file of a manifest, in bytes.
const manifestMax = 1 << 20

// manifest lists the closed files of an hour. It is a line of the same form as
// a record's, and the manifests of a log are one chain.
type manifest struct {
	Version int      `json:"manifestVersion"`
	Hour    string   `json:"hour"`
	Files   []listed `json:"files"` // in the order of their names
	// Heads are the last lines so far of all regions, by region: a chain goes on
	// from there even when all its files were put away.
	Heads map[string]head `json:"heads"`

	link link
	text []byte // of the file
}

// listed is a closed file: what it holds, compressed or not.
type listed struct {
	Name     string `json:"name"` // of the plain file
	Size     int64  `json:"sizeBytes"`
	SHA256   string `json:"sha256"`
	FirstSeq int64  `json:"firstSeq"`
	LastSeq  int64  `json:"lastSeq"`
	LastHash string `json:"lastHash"`
}

// head is the last line of a chain.
type head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// link is the head as a link to follow; false if it is none.
func (h head) link() (l link, ok bool) {
	if h.Seq < 1 || len(h.Hash) != len(l.hash) {
		return l, false
	}
	return link{seq: h.Seq, hash: digest([]byte(h.Hash))}, true
}

// listing is the entry of a file that was read.
func (c *contents) listing(s stored) listed {
	return listed{s.name(), c.size, c.digest().String(), c.first.seq, c.last.seq, c.last.hash.String()}
}

// encode gives m its place behind another manifest, and its text.
func (m *manifest) encode(before *manifest) error {
	m.Heads = maps.Clone(before.Heads)
	if m.Heads == nil {
		m.Heads = make(map[string]head)
	}
	for _, f := range m.Files {
		if f.LastSeq > 0 { // a crash may leave a file without a line
			region, _, _ := parseLinesName(f.Name)
			m.Heads[region] = head{f.LastSeq, f.LastHash}
		}
	}
	canonical, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b := append(make([]byte, headroom), canonical...)
	m.link = before.link.follow(b)
	m.text = appendLine(nil, canonical, &m.link)
	return nil
}

// lists returns the entry of a file.
func (m *manifest) lists(name string) (listed, bool) {
	i := slices.IndexFunc(m.Files, func(f listed) bool { return f.Name == name })
	if i < 0 {
		return listed{}, false
	}
	return m.Files[i], true
}

// readManifest reads the manifest of an hour. What is not as it was written is
// a *Damage.
func readManifest(fsys disk.FS, dir, hour string) (m manifest, err error) {
	path := filepath.Join(dir, manifestName(hour))
	f, err := fsys.Open(path, os.O_RDONLY)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return m, err
	}
	if size > manifestMax {
		return m, &Damage{path, 1, "it is longer than any manifest"}
	}
	m.text = make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), m.text); err != nil && size > 0 {
		return m, err
	}
	line, whole := bytes.CutSuffix(m.text, []byte("\n"))
	if !whole || bytes.IndexByte(line, '\n') >= 0 {
		return m, &Damage{path, 1, "it is not one line"}
	}
	if m.link, err = parseLine(line); err != nil {
		return m, &Damage{path, 1, err.Error()}
	}
	if json.Unmarshal(line, &m) != nil || m.Version != manifestVersion || m.Hour != hour {
		return m, &Damage{path, 1, fmt.Sprintf("it is no manifest of version %d and of this hour", manifestVersion)}
	}
	for _, f := range m.Files {
		if _, at, ok := parseLinesName(f.Name); !ok || at != hour {
			return m, &Damage{path, 1, "it lists what is no file of its hour"}
		}
	}
	return m, nil
}
