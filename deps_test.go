package moraine_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path every package of ours begins with.
const module = "moraine"

// floors is the house: a package imports packages of lower floors only. Every
// package is listed; a new one finds its floor here before it finds an import.
var floors = [][]string{
	{"internal/sha256x"}, // a leaf that a leaf needs
	{"internal/treehash", "internal/arn", "internal/sigv4", "internal/disk", "internal/clock", "internal/egress", "internal/peer", "internal/seal", "internal/health", "internal/pgtest", "internal/gatewaytest"}, // leaves: the standard library
	{"internal/policy"}, // a leaf that also knows names of resources
	{"."},               // nouns
	{"internal/blob", "internal/meta", "internal/fixity"}, // ports, and a format
	{"internal/blob/blobtest", "internal/blob/mem", "internal/meta/metatest", "internal/meta/mem", "internal/disk/crashfs", "internal/disk/sqlvfs", "internal/trace", "internal/blobkeys/mastertest", "internal/blob/s3/s3test"}, // their suites and references, and who watches them
	{"internal/blob/pack", "internal/blob/s3", "internal/blob/mirror", "internal/meta/sqlmeta", "internal/notify/webhook", "internal/notify/sns", "internal/notify/nats"},                                                        // adapters
	{"internal/blob/crypt", "internal/blobkeys/keyfile", "internal/blobkeys/kms", "internal/blobkeys/transit"},                                                                                                                   // adapters of encryption
	{"internal/housetest"},                         // what tests of services stand on
	{"internal/lease"},                             // who of several processes does what
	{"internal/access"},                            // services, the one every other asks first
	{"internal/audit", "internal/audit/audittest"}, // the record of who did what, in files; and what tests read of it
	{"internal/account", "internal/vault", "internal/job", "internal/notify", "internal/blobkeys", "internal/mend", "internal/scrub", "internal/migrate"}, // services
	{"internal/api", "internal/iamapi", "internal/adminapi"}, // surfaces
	{"internal/iamclient", "internal/adminclient"},           // the other ends of two of them
	{"internal/config"}, // assembly, from settings
	{"internal/server"}, // to a running server
	{"internal/proof"},  // tests of whole ones
	{"internal/cli"},    // to a command line
	{"cmd/moraine"},     // to a process
}

// only lists packages that a few may import, whatever their floor.
var only = map[string][]string{
	// The assembly alone knows which adapters stand behind the ports.
	"internal/blob/pack":      {"internal/server"},
	"internal/blob/s3":        {"internal/server"},
	"internal/blob/mirror":    {"internal/server"},
	"internal/meta/sqlmeta":   {"internal/server", "internal/housetest"},
	"internal/trace":          {"internal/server"},
	"internal/notify/webhook": {"internal/server"},
	"internal/notify/sns":     {"internal/server"},
	"internal/notify/nats":    {"internal/server"},
	"internal/egress":         {"internal/server"},
	// One package has hashes to compute by the dozen; another logs how it does.
	"internal/sha256x": {"internal/treehash", "internal/server"},
	// The service of the keys makes the ring that the encryption wraps with.
	"internal/blob/crypt":       {"internal/server", "internal/blobkeys"},
	"internal/blobkeys/keyfile": {"internal/server"},
	"internal/blobkeys/kms":     {"internal/server"},
	"internal/blobkeys/transit": {"internal/server"},
	// Files are the business of adapters; services and surfaces know none.
	"internal/disk": {"internal/disk/crashfs", "internal/disk/sqlvfs", "internal/blob/pack", "internal/meta/sqlmeta", "internal/audit", "internal/server"},
	// Suites and references are for tests. Some references are suites' tools.
	"internal/blob/blobtest":       {},
	"internal/blob/mem":            {"internal/blob/blobtest"},
	"internal/meta/metatest":       {},
	"internal/meta/mem":            {"internal/meta/metatest"},
	"internal/disk/crashfs":        {},
	"internal/disk/sqlvfs":         {},
	"internal/audit/audittest":     {},
	"internal/blobkeys/mastertest": {},
	"internal/housetest":           {},
	"internal/pgtest":              {},
	"internal/gatewaytest":         {},
	"internal/proof":               {},
	"internal/config":              {"internal/server", "internal/cli"},
	"internal/server":              {"internal/cli"},
	"internal/iamclient":           {"internal/cli"},
	"internal/adminclient":         {"internal/server"},
	"internal/cli":                 {"cmd/moraine"},
}

// foreign lists what a package must not import from outside, by prefix: the
// technologies its floor does not know.
var foreign = map[string][]string{
	".":                 {"net/http", "database/sql", "os"},
	"internal/blob":     {"net/http", "database/sql", "os"},
	"internal/meta":     {"net/http", "database/sql", "os"},
	"internal/access":   {"net/http", "database/sql", "os"},
	"internal/audit":    {"net/http", "database/sql"},
	"internal/account":  {"net/http", "database/sql", "os"},
	"internal/lease":    {"net/http", "database/sql", "os"},
	"internal/vault":    {"net/http", "database/sql", "os"},
	"internal/job":      {"net/http", "database/sql", "os"},
	"internal/notify":   {"net/http", "database/sql", "os"},
	"internal/mend":     {"net/http", "database/sql", "os"},
	"internal/migrate":  {"net/http", "database/sql", "os"},
	"internal/scrub":    {"net/http", "database/sql", "os"},
	"internal/blobkeys": {"net/http", "database/sql", "os"},
	"internal/api":      {"database/sql"},
	"internal/iamapi":   {"database/sql"},
	"internal/cli":      {"net/http", "database/sql"},
	"internal/config":   {"net/http", "database/sql"},
}

// imports holds the imports of one package, tests left out.
type imports map[string]bool

// TestFloors parses every Go file of the tree and checks each arrow.
func TestFloors(t *testing.T) {
	t.Parallel()
	floor := make(map[string]int)
	for n, packages := range floors {
		for _, p := range packages {
			floor[p] = n
		}
	}
	for pkg, imported := range parseTree(t) {
		at, known := floor[pkg]
		if isTest(pkg) {
			continue
		}
		if !known {
			t.Errorf("package %s has no floor; say in floors what it may know", pkg)
			continue
		}
		for target := range imported {
			local, ours := ourPackage(target)
			if !ours {
				checkForeign(t, pkg, target)
				continue
			}
			to, known := floor[local]
			switch allowed, limited := only[local]; {
			case !known:
				t.Errorf("%s imports %s, which has no floor", pkg, local)
			case to >= at:
				t.Errorf("%s (floor %d) imports %s (floor %d): the arrow must point down", pkg, at, local, to)
			case limited && !slices.Contains(allowed, pkg):
				t.Errorf("%s imports %s, which only %v may", pkg, local, allowed)
			}
		}
	}
}

func checkForeign(t *testing.T, pkg, target string) {
	t.Helper()
	for _, prefix := range foreign[pkg] {
		if target == prefix || strings.HasPrefix(target, prefix+"/") {
			t.Errorf("%s imports %s, a technology it must not know", pkg, target)
		}
	}
	leaf := slices.Contains(slices.Concat(floors[:3]...), pkg)
	standard := !strings.Contains(strings.Split(target, "/")[0], ".")
	tool := pkg == "internal/pgtest" // tests start its server
	if leaf && !tool && !standard && !strings.HasPrefix(target, "golang.org/x/sys/") {
		t.Errorf("the leaf %s imports %s: leaves know the standard library only", pkg, target)
	}
}

// TestBlackBox checks that the packages under test/ know the server by its
// wire and its command line alone.
func TestBlackBox(t *testing.T) {
	t.Parallel()
	for pkg, imported := range parseTree(t) {
		if !isTest(pkg) {
			continue
		}
		for target := range imported {
			if local, ours := ourPackage(target); ours && !isTest(local) && local != "internal/pgtest" && local != "internal/gatewaytest" { // which are no part of the server
				t.Errorf("%s imports %s: tests under test/ see the server from outside", pkg, target)
			}
		}
	}
}

func isTest(pkg string) bool { return pkg == "test" || strings.HasPrefix(pkg, "test/") }

// ourPackage turns an import path into the directory of a package of ours.
func ourPackage(target string) (dir string, ours bool) {
	if target == module {
		return ".", true
	}
	return strings.CutPrefix(target, module+"/")
}

// parseTree returns the imports of every package. The files of tests count for
// packages under test/ only, where everything is a test.
func parseTree(t *testing.T) map[string]imports {
	t.Helper()
	tree := make(map[string]imports)
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(name) {
				return filepath.SkipDir
			}
			return nil
		}
		pkg := path.Dir(filepath.ToSlash(name))
		if !strings.HasSuffix(name, ".go") || (strings.HasSuffix(name, "_test.go") && !isTest(pkg)) {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		if tree[pkg] == nil {
			tree[pkg] = make(imports)
		}
		for _, spec := range file.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			tree[pkg][target] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tree) < 10 {
		t.Fatalf("only %d packages found", len(tree))
	}
	return tree
}

// skipped reports whether a directory holds no packages of this module.
func skipped(name string) bool {
	base := filepath.Base(name)
	switch {
	case name == ".":
		return false
	case name == "tools", base == "testdata", base == "node_modules":
		return true
	}
	return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")
}
