package proof_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"moraine/internal/treehash"
)

// call is one line of a script. "$n" anywhere in it stands for the id that the
// call with number n was answered with, on each stack its own.
type call struct {
	n    int    // stays what it is when lines are removed
	verb string // a method, or clock, restart or trouble

	path   string // of a request; what a clock or a trouble is about
	header [][2]string
	json   string // body, unless there is data
	data   []blobSpec
}

// blobSpec says what bytes are, without holding them.
type blobSpec struct {
	seed uint64
	size int
}

func (b blobSpec) bytes() []byte {
	rnd := rand.New(rand.NewPCG(b.seed, 9))
	data := make([]byte, b.size)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	return data
}

func join(specs []blobSpec) []byte {
	var all []byte
	for _, s := range specs {
		all = append(all, s.bytes()...)
	}
	return all
}

func treeOf(data []byte) string { return treehash.Root(treehash.AppendLeaves(nil, data)).String() }

func linearOf(data []byte) string {
	h := treehash.NewHasher()
	h.Write(data)
	d := h.Linear()
	return hex.EncodeToString(d[:])
}

// String prints the line as parseCall reads it.
func (c *call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s", c.n, c.verb, c.path)
	for _, h := range c.header {
		fmt.Fprintf(&b, "\t%s: %s", h[0], h[1])
	}
	for _, d := range c.data {
		fmt.Fprintf(&b, "\tdata %d %d", d.seed, d.size)
	}
	if c.json != "" {
		fmt.Fprintf(&b, "\tbody %s", strconv.Quote(c.json))
	}
	return b.String()
}

func parseCall(line string) (call, error) {
	fields := strings.Split(line, "\t")
	head := strings.SplitN(fields[0], " ", 3)
	if len(head) < 2 {
		return call{}, fmt.Errorf("%q is no line of a script", line)
	}
	c := call{verb: head[1]}
	if len(head) == 3 {
		c.path = head[2]
	}
	var err error
	if c.n, err = strconv.Atoi(head[0]); err != nil {
		return c, err
	}
	for _, f := range fields[1:] {
		if text, ok := strings.CutPrefix(f, "body "); ok {
			if c.json, err = strconv.Unquote(text); err != nil {
				return c, err
			}
			continue
		}
		if text, ok := strings.CutPrefix(f, "data "); ok {
			var d blobSpec
			if _, err := fmt.Sscan(text, &d.seed, &d.size); err != nil {
				return c, err
			}
			c.data = append(c.data, d)
			continue
		}
		name, value, ok := strings.Cut(f, ": ")
		if !ok {
			return c, fmt.Errorf("%q is no header", f)
		}
		c.header = append(c.header, [2]string{name, value})
	}
	return c, nil
}

// author writes random scripts. It remembers roughly what there is, so that most
// calls make sense; what exactly there is, is for the stacks to agree on.
type author struct {
	rnd   *rand.Rand
	lines []call
	wild  bool // the next call is to be refused, as far as it depends on it

	archives []made
	uploads  []*opened
	jobs     []made
	locks    []made
	lists    []made // with a marker
}

// made is something a call made in a vault.
type made struct {
	n, vault, size int
}

// opened is a multipart upload.
type opened struct {
	n, vault, size int
	parts          map[int]blobSpec
}

const scriptVaults = 3

func writeScript(seed uint64, calls int) []call {
	a := &author{rnd: rand.New(rand.NewPCG(seed, 4))}
	for v := range 2 {
		a.add("PUT", vaultPath(v))
	}
	for len(a.lines) < calls {
		a.wild = a.rnd.IntN(12) == 0
		a.next()
	}
	for v := range scriptVaults {
		a.look(v)
	}
	return a.lines
}

func vaultPath(v int) string { return fmt.Sprintf("/-/vaults/vault-%d", v) }

func (a *author) add(verb, path string, header ...[2]string) *call {
	n := 1
	if len(a.lines) > 0 {
		n = a.lines[len(a.lines)-1].n + 1
	}
	a.lines = append(a.lines, call{n: n, verb: verb, path: path, header: header})
	return &a.lines[len(a.lines)-1]
}

func (a *author) body(verb, path, body string) *call {
	c := a.add(verb, path)
	c.json = body
	return c
}

func (a *author) vault() int { return a.rnd.IntN(scriptVaults) }

func one[T any](rnd *rand.Rand, list []T) (T, bool) {
	var none T
	if len(list) == 0 {
		return none, false
	}
	// Mostly something recent.
	if n := len(list); n > 6 && rnd.IntN(3) > 0 {
		list = list[n-6:]
	}
	return list[rnd.IntN(len(list))], true
}

// of is the path of a vault that something is in, or of another one.
func (a *author) of(v int) string {
	if a.wild && a.rnd.IntN(3) == 0 {
		v = (v + 1) % scriptVaults
	}
	return vaultPath(v)
}

func (a *author) next() {
	switch n := a.rnd.IntN(100); {
	case n < 6:
		verbs := []string{"PUT", "DELETE", "GET"}
		a.add(verbs[a.rnd.IntN(len(verbs))], vaultPath(a.vault()))
	case n < 20:
		a.upload()
	case n < 26:
		if m, ok := one(a.rnd, a.archives); ok {
			a.add("DELETE", fmt.Sprintf("%s/archives/$%d", a.of(m.vault), m.n))
		}
	case n < 52:
		a.multipart()
	case n < 68:
		a.job()
	case n < 78:
		a.outputs()
	case n < 84:
		a.list()
	case n < 94:
		a.document()
	default:
		a.trouble()
	}
}

func (a *author) spec() blobSpec {
	size := 1 + a.rnd.IntN(6000)
	if a.rnd.IntN(6) == 0 {
		size = treehash.LeafSize + a.rnd.IntN(2*treehash.LeafSize)
	}
	return blobSpec{a.rnd.Uint64N(1 << 32), size}
}

// sums are the headers of a body, now and then wrong ones.
func (a *author) sums(data []byte) [][2]string {
	linear, tree := linearOf(data), treeOf(data)
	if a.wild {
		switch a.rnd.IntN(3) {
		case 0:
			tree = linearOf([]byte("another"))
		case 1:
			linear = linearOf([]byte("another"))
		case 2:
			tree = tree[1:]
		}
	}
	return [][2]string{{"X-Amz-Content-Sha256", linear}, {"X-Amz-Sha256-Tree-Hash", tree}}
}

func (a *author) upload() {
	v, spec := a.vault(), a.spec()
	header := a.sums(spec.bytes())
	if a.rnd.IntN(2) == 0 {
		header = append(header, [2]string{"X-Amz-Archive-Description", fmt.Sprintf("no. %d, <a> & \"b\"", len(a.lines))})
	}
	c := a.add("POST", vaultPath(v)+"/archives", header...)
	c.data = []blobSpec{spec}
	a.archives = append(a.archives, made{n: c.n, vault: v, size: spec.size})
}

func (a *author) multipart() {
	u, ok := one(a.rnd, a.uploads)
	if !ok || a.rnd.IntN(5) == 0 {
		v, size := a.vault(), treehash.LeafSize<<a.rnd.IntN(2)
		declared := size
		if a.wild {
			declared += a.rnd.IntN(2)*12345 - 1
		}
		header := [][2]string{{"X-Amz-Part-Size", strconv.Itoa(declared)}}
		if a.rnd.IntN(2) == 0 {
			header = append(header, [2]string{"X-Amz-Archive-Description", "in parts"})
		}
		c := a.add("POST", vaultPath(v)+"/multipart-uploads", header...)
		a.uploads = append(a.uploads, &opened{c.n, v, size, map[int]blobSpec{}})
		return
	}
	path := fmt.Sprintf("%s/multipart-uploads/$%d", a.of(u.vault), u.n)
	switch n := a.rnd.IntN(20); {
	case n == 0:
		a.add("DELETE", path)
	case n < 3:
		a.add("GET", path+[]string{"", "?limit=1", "?limit=0", "?marker=x"}[a.rnd.IntN(4)])
	case n < 8 && len(u.parts) > 0:
		a.complete(u, path)
	default:
		a.part(u, path)
	}
}

func (a *author) part(u *opened, path string) {
	index, size := a.rnd.IntN(3), u.size
	if index == 2 {
		size = 1 + a.rnd.IntN(9000)
	}
	spec := blobSpec{a.rnd.Uint64N(1 << 32), size}
	if was, ok := u.parts[index]; ok && a.rnd.IntN(2) == 0 {
		spec = was // the same once more
	}
	first := index * u.size
	span := fmt.Sprintf("bytes %d-%d/*", first, first+spec.size-1)
	if a.wild && a.rnd.IntN(2) == 0 {
		span = fmt.Sprintf("bytes %d-%d/*", first+1, first+spec.size)
	}
	header := append(a.sums(spec.bytes()), [2]string{"Content-Range", span})
	c := a.add("PUT", path, header...)
	c.data = []blobSpec{spec}
	if !a.wild {
		u.parts[index] = spec
	}
}

func (a *author) complete(u *opened, path string) {
	var all []blobSpec
	for i := range 3 {
		if p, ok := u.parts[i]; ok {
			all = append(all, p)
		}
	}
	data := join(all)
	size := len(data)
	if a.wild {
		size++
	}
	c := a.add("POST", path, [2]string{"X-Amz-Archive-Size", strconv.Itoa(size)}, a.sums(data)[1])
	a.archives = append(a.archives, made{n: c.n, vault: u.vault, size: size})
	if a.rnd.IntN(4) == 0 {
		a.add("POST", path, c.header...) // once more
	}
}

func (a *author) job() {
	tier := []string{"", `,"Tier":"Expedited"`, `,"Tier":"Bulk"`}[a.rnd.IntN(3)]
	if a.wild && a.rnd.IntN(4) == 0 {
		tier = `,"Tier":"Yesterday"`
	}
	m, ok := one(a.rnd, a.archives)
	if !ok || a.rnd.IntN(4) == 0 {
		v := a.vault()
		shape := []string{"", `,"Format":"CSV"`, `,"InventoryRetrievalParameters":{"Limit":"2"}`, `,"InventoryRetrievalParameters":{"StartDate":"2024-03-15T12:00:01Z"}`}
		c := a.body("POST", vaultPath(v)+"/jobs", `{"Type":"inventory-retrieval"`+tier+shape[a.rnd.IntN(len(shape))]+`}`)
		a.jobs = append(a.jobs, made{n: c.n, vault: v})
	} else {
		extra := ""
		if leaves := m.size / treehash.LeafSize; leaves > 0 && a.rnd.IntN(2) == 0 {
			first := a.rnd.IntN(leaves) * treehash.LeafSize
			extra = fmt.Sprintf(`,"RetrievalByteRange":"%d-%d"`, first, first+treehash.LeafSize-1)
			if a.wild {
				extra = fmt.Sprintf(`,"RetrievalByteRange":"%d-%d"`, first+1, m.size+7)
			}
		}
		c := a.body("POST", a.of(m.vault)+"/jobs", fmt.Sprintf(`{"Type":"archive-retrieval","ArchiveId":"$%d","Description":"wanted"%s%s}`, m.n, tier, extra))
		a.jobs = append(a.jobs, made{n: c.n, vault: m.vault, size: m.size})
	}
}

func (a *author) outputs() {
	j, ok := one(a.rnd, a.jobs)
	if !ok {
		return
	}
	path := fmt.Sprintf("%s/jobs/$%d", a.of(j.vault), j.n)
	if a.rnd.IntN(4) == 0 {
		a.add("GET", path)
		return
	}
	var header [][2]string
	if a.rnd.IntN(2) == 0 {
		first := a.rnd.IntN(max(1, j.size))
		last := first + a.rnd.IntN(max(1, j.size))
		if a.rnd.IntN(2) == 0 {
			first = first / treehash.LeafSize * treehash.LeafSize
			last = first + treehash.LeafSize - 1
		}
		header = append(header, [2]string{"Range", fmt.Sprintf("bytes=%d-%d", first, last)})
		if a.wild {
			header[0][1] = []string{"bytes=9-3", "bytes=-5", "bytes=99999999-", "lines=1-2"}[a.rnd.IntN(4)]
		}
	}
	a.add("GET", path+"/output", header...)
}

func (a *author) list() {
	base := vaultPath(a.vault())
	path := []string{
		"/-/vaults", base + "/jobs", base + "/multipart-uploads", base + "/tags", base,
		base + "/jobs?completed=true", base + "/jobs?statuscode=InProgress",
	}[a.rnd.IntN(7)]
	if strings.Contains(path, "?") || path == base || strings.HasSuffix(path, "tags") {
		a.add("GET", path)
		return
	}
	if m, ok := one(a.rnd, a.lists); ok && a.rnd.IntN(3) == 0 {
		a.add("GET", a.lines[m.vault].path+fmt.Sprintf("&marker=$%d", m.n)) // of a made list, vault is its line
		return
	}
	c := a.add("GET", path+"?limit="+[]string{"1", "2", "0", "5000"}[a.rnd.IntN(4)])
	a.lists = append(a.lists, made{n: c.n, vault: len(a.lines) - 1})
}

// vaultPolicy denies the deletion of young archives to everybody.
func (a *author) vaultPolicy(v int) string {
	action := []string{"DeleteArchive", "InitiateJob", "AddTagsToVault", "Everything"}[a.rnd.IntN(3)]
	if a.wild {
		action = "Everything"
	}
	condition := ""
	if action == "DeleteArchive" {
		condition = fmt.Sprintf(`,"Condition":{"NumericLessThan":{"glacier:ArchiveAgeInDays":"%d"}}`, a.rnd.IntN(3))
	}
	text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"s","Effect":"Deny","Principal":"*","Action":"glacier:%s","Resource":"arn:aws:glacier:us-east-1:%s:vaults/vault-%d"%s}]}`,
		action, owner, v, condition)
	return `{"policy":` + strconv.Quote(text) + `}`
}

func (a *author) document() {
	v := a.vault()
	base := vaultPath(v)
	switch a.rnd.IntN(13) {
	case 0, 1:
		a.body("POST", base+"/tags?operation=add", fmt.Sprintf(`{"Tags":{"k%d":"v%d"}}`, a.rnd.IntN(12), a.rnd.IntN(3)))
	case 2:
		a.body("POST", base+"/tags?operation=remove", fmt.Sprintf(`{"TagKeys":["k%d"]}`, a.rnd.IntN(12)))
	case 3:
		a.body("PUT", base+"/access-policy", a.vaultPolicy(v))
	case 4:
		a.add("DELETE", base+"/access-policy")
	case 5:
		a.add("GET", base+"/access-policy")
	case 6:
		events := `"ArchiveRetrievalCompleted","InventoryRetrievalCompleted"`
		if a.wild {
			events = `"Whatever"`
		}
		a.body("PUT", base+"/notification-configuration", fmt.Sprintf(`{"SNSTopic":"arn:aws:sns:us-east-1:%s:t","Events":[%s]}`, owner, events))
	case 7:
		a.add([]string{"GET", "DELETE"}[a.rnd.IntN(2)], base+"/notification-configuration")
	case 8:
		c := a.body("POST", base+"/lock-policy", a.vaultPolicy(v))
		a.locks = append(a.locks, made{n: c.n, vault: v})
	case 9:
		if l, ok := one(a.rnd, a.locks); ok && a.rnd.IntN(3) == 0 {
			a.add("POST", fmt.Sprintf("%s/lock-policy/$%d", a.of(l.vault), l.n))
		} else {
			a.add("DELETE", base+"/lock-policy")
		}
	case 10:
		a.add("GET", base+"/lock-policy")
	case 11:
		rule := []string{`{"Strategy":"None"}`, `{"Strategy":"FreeTier"}`, `{"Strategy":"BytesPerHour","BytesPerHour":900000}`, `{"Strategy":"Sometimes"}`}[a.rnd.IntN(4)]
		a.body("PUT", "/-/policies/data-retrieval", `{"Policy":{"Rules":[`+rule+`]}}`)
	case 12:
		a.add([]string{"GET", "GET", "POST"}[a.rnd.IntN(3)], []string{"/-/policies/data-retrieval", "/-/provisioned-capacity"}[a.rnd.IntN(2)])
	}
}

// trouble is time that goes by, and what servers live through.
func (a *author) trouble() {
	switch a.rnd.IntN(9) {
	case 0, 1:
		a.add("restart", "")
	case 2:
		a.add("trouble", "fsck")
	case 3:
		a.add("trouble", "scrub")
	case 4:
		a.add("trouble", "lose")
	case 5:
		c := a.add("trouble", "damage")
		c.data = []blobSpec{{a.rnd.Uint64N(1 << 32), 0}}
	default:
		hours := []int{1, 5, 6, 23, 25, 49}[a.rnd.IntN(6)]
		a.add("clock", fmt.Sprintf("%dh", hours))
	}
}

// look reads all there is of a vault.
func (a *author) look(v int) {
	base := vaultPath(v)
	c := a.body("POST", base+"/jobs", `{"Type":"inventory-retrieval"}`)
	for _, path := range []string{"", "/tags", "/access-policy", "/lock-policy", "/notification-configuration", "/multipart-uploads"} {
		a.add("GET", base+path)
	}
	a.add("GET", fmt.Sprintf("%s/jobs/$%d/output", base, c.n))
}

// idNames are the headers that bring an id.
var idNames = []string{"X-Amz-Archive-Id", "X-Amz-Multipart-Upload-Id", "X-Amz-Job-Id", "X-Amz-Lock-Id", "X-Amz-Capacity-Id"}

var (
	reference  = regexp.MustCompile(`\$(\d+)`)
	markerText = regexp.MustCompile(`"Marker":"([^"]*)"`)
)
