package audit

import (
	"fmt"
	"path/filepath"
	"slices"

	"moraine/internal/disk"
)

// Report is what Verify found.
type Report struct {
	Files, Records int64
	Chains         []Chain // of the regions, in order; that of version 1 first
	Manifests      Chain
}

// Chain is lines that follow each other.
type Chain struct {
	Region      string // "" for lines of version 1 that no region continues
	First, Last int64  // numbers of the first and the last line, 0 for none
	Hash        string // of the last line
}

// First says where a log begins whose older files were put away. The zero value
// says that none were.
type First struct {
	// Oldest accepts whatever the oldest file begins with.
	Oldest bool
	// Number is that of the first record in the regions that Of does not name. 0
	// is 1.
	Number int64
	Of     map[string]int64 // by region
}

// of is the number of the first record of a region.
func (f *First) of(region string) int64 {
	if n, ok := f.Of[region]; ok {
		return n
	}
	return max(1, f.Number)
}

// whole reports whether nothing was put away.
func (f *First) whole() bool { return !f.Oldest && f.Number <= 1 && len(f.Of) == 0 }

// verifier looks through one log.
type verifier struct {
	fsys   disk.FS
	dir    string
	first  First
	listed map[string]listed // by name
	newest string            // hour of the newest manifest
	report Report
}

// Verify follows the chains through all files of a log, which may be in use,
// and compares closed files with their manifests. A *Damage error names the
// first bad line or file. Records missing at the very end of a chain leave no
// trace in it: compare its last number and hash with what was noted before.
func Verify(fsys disk.FS, dir string, first First) (Report, error) {
	v := &verifier{fsys: fsys, dir: dir, first: first, listed: make(map[string]listed)}
	// Files first, manifests later: a file that was found compressed only is
	// listed by then.
	files, err := survey(fsys, dir)
	if err != nil {
		if missing(err) {
			err = fmt.Errorf("there is no audit log: %w", err)
		}
		return v.report, err
	}
	later, err := survey(fsys, dir)
	if err != nil {
		return v.report, err
	}
	if err := v.manifests(later.manifests); err != nil {
		return v.report, err
	}
	if err := v.chains(files); err != nil {
		return v.report, err
	}
	return v.report, v.gone()
}

// manifests follows the chain of manifests.
func (v *verifier) manifests(hours []string) error {
	var last link
	last.hash = genesis
	for i, hour := range hours {
		m, err := readManifest(v.fsys, v.dir, hour)
		if err != nil {
			return err
		}
		if i > 0 || v.first.whole() {
			if why := misplaced(m.link, last); why != "" {
				return &Damage{filepath.Join(v.dir, manifestName(hour)), 1, why}
			}
		}
		if last = m.link; i == 0 {
			v.report.Manifests.First = last.seq
		}
		v.report.Manifests.Last, v.report.Manifests.Hash = last.seq, last.hash.String()
		for _, f := range m.Files {
			v.listed[f.Name] = f
		}
		v.newest = hour
	}
	return nil
}

// misplaced says why a line cannot come right after another, "" if it can.
func misplaced(l, before link) string {
	switch {
	case l.seq != before.seq+1:
		return fmt.Sprintf("it has number %d where %d is expected", l.seq, before.seq+1)
	case l.prev != before.hash && before.seq == 0:
		return "it is the first of its chain but names one before it"
	case l.prev != before.hash:
		return "it does not continue the chain of the line before it"
	}
	return ""
}

// chains follows the chains of all regions. One of them may continue the chain
// of version 1.
func (v *verifier) chains(s *surveyed) error {
	var old link
	if len(s.lines[""]) > 0 {
		var err error
		if old, err = v.chain("", s.lines[""], link{}); err != nil {
			return err
		}
	}
	var regions []string
	for region := range s.lines {
		if region != "" {
			regions = append(regions, region)
		}
	}
	slices.Sort(regions)
	for _, region := range regions {
		if _, err := v.chain(region, s.lines[region], old); err != nil {
			return err
		}
	}
	return nil
}

// chain follows one chain, which may begin where old ends, and returns its end.
func (v *verifier) chain(region string, files []stored, old link) (link, error) {
	var last link
	last.hash = genesis
	c := Chain{Region: region}
	follow := func(l link) string {
		why := misplaced(l, last)
		if c.First == 0 {
			why = v.beginning(region, l, old)
		}
		if why != "" {
			return why
		}
		if c.First == 0 {
			c.First = l.seq
		}
		last = l
		v.report.Records++
		return ""
	}
	var err error
	for _, s := range files {
		if err = v.file(s, follow); err != nil {
			break
		}
		v.report.Files++
	}
	if c.First > 0 {
		c.Last, c.Hash = last.seq, last.hash.String()
		v.report.Chains = append(v.report.Chains, c)
	}
	return last, err
}

// beginning says why a line cannot be the first of a region, "" if it can.
func (v *verifier) beginning(region string, l, old link) string {
	if v.first.Oldest || old.seq > 0 && misplaced(l, old) == "" {
		return ""
	}
	want := v.first.of(region)
	if want == 1 || l.seq != want {
		return misplaced(l, link{seq: want - 1, prev: genesis, hash: genesis})
	}
	return ""
}

// file checks the lines of an hour, and that they are what their manifest
// lists.
func (v *verifier) file(s stored, follow func(link) string) error {
	var c contents
	path := filepath.Join(v.dir, s.name())
	if s.plain {
		err := c.readPlain(v.fsys, v.dir, s, follow)
		if missing(err) {
			s.plain, s.gzip = false, true // it was compressed meanwhile
		} else if err != nil {
			return err
		}
	}
	if s.gzip {
		packed := &c
		if s.plain {
			packed, follow = new(contents), nil
		} else {
			path += gzipSuffix
		}
		if err := packed.readGzip(v.fsys, filepath.Join(v.dir, s.name()+gzipSuffix), follow); err != nil {
			return err
		}
		if packed.listing(s) != c.listing(s) {
			return &Damage{File: path + gzipSuffix, Why: "it does not hold what the plain file holds"}
		}
	}
	want, ok := v.listed[s.name()]
	switch {
	case ok && want != c.listing(s):
		return &Damage{File: path, Why: "it does not hold what its manifest lists"}
	case !ok && (!s.plain || s.hour <= v.newest):
		return &Damage{File: path, Why: "no manifest lists it"}
	}
	delete(v.listed, s.name())
	return nil
}

// gone looks for files that manifests list and nobody has seen.
func (v *verifier) gone() error {
	var names []string
	for name := range v.listed {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		region, hour, _ := parseLinesName(name)
		var c contents
		err := c.readGzip(v.fsys, filepath.Join(v.dir, name+gzipSuffix), nil)
		if missing(err) {
			err = c.readPlain(v.fsys, v.dir, stored{region: region, hour: hour}, nil)
		}
		if missing(err) {
			return &Damage{File: filepath.Join(v.dir, name), Why: "it is missing: " + manifestName(hour) + " lists it"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
