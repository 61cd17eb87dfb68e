package job

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
)

// TestOutputRange is the table of glacier-api §7.7.
func TestOutputRange(t *testing.T) {
	t.Parallel()
	const total = 1000
	type result struct {
		First, Last int64
		Partial     bool
	}
	all := result{0, 999, false}
	for header, want := range map[string]result{
		"":                             all,
		"bytes=0-99":                   {0, 99, true},
		"bytes=0-999":                  {0, 999, true},
		"bytes=0-5000":                 {0, 999, true},
		"bytes=999-999":                {999, 999, true},
		"bytes=500-":                   {500, 999, true},
		"bytes=-1":                     {999, 999, true},
		"bytes=-5000":                  {0, 999, true},
		"bytes=-0":                     all,
		"bytes=9-8":                    all,
		"bytes=-":                      all,
		"bytes=":                       all,
		"bytes 0-99/*":                 all,
		"bytes=bytes=0-9":              all,
		"Range: bytes=0-9":             all,
		"bytes=0-9,20-29":              all,
		"bytes=a-b":                    all,
		"bytes= 0-9":                   all,
		"bytes=+1-9":                   all,
		"octets=0-9":                   all,
		"bytes=0-99999999999999999999": {0, 999, true},
	} {
		first, last, partial, err := outputRange(header, total)
		if err != nil {
			t.Errorf("outputRange(%q): %v", header, err)
		}
		if diff := cmp.Diff(want, result{first, last, partial}); diff != "" {
			t.Errorf("outputRange(%q): -want +got\n%s", header, diff)
		}
	}
	for _, header := range []string{"bytes=1000-", "bytes=1000-1001", "bytes=99999999999999999999-"} {
		_, _, _, err := outputRange(header, total)
		want := "The start of the range is larger than size of retrieved data: " + header
		if err == nil || err.Error() != want || !moraine.IsKind(err, moraine.Invalid) {
			t.Errorf("outputRange(%q) = %v, want %q", header, err, want)
		}
	}
}

func TestInventoryMarker(t *testing.T) {
	t.Parallel()
	id := string(moraine.NewArchiveID(time.UnixMilli(1_700_000_000_123)))
	at := time.UnixMilli(1_700_000_000_123).UTC()
	m := position{created: at, id: id}.marker()
	if len(m) != 135 || strings.HasPrefix(m, "-") {
		t.Errorf("marker %q has %d characters, want 135 and no leading dash", m, len(m))
	}
	p, err := parseMarker(m)
	if err != nil || !p.created.Equal(at) || p.id <= id || !strings.HasPrefix(p.id, id[:92]) {
		t.Errorf("parseMarker(%q) = %+v, %v; want just after %q at %v", m, p, err, id, at)
	}
	short, err := parseMarker(position{created: at, id: "short"}.marker())
	if err != nil || short.id != "short" {
		t.Errorf("a short id comes back as %q, %v", short.id, err)
	}
	for _, bad := range []string{"x", m[:134], m + "A", strings.Repeat("A", 135), "-" + m[1:]} {
		if _, err := parseMarker(bad); err == nil {
			t.Errorf("parseMarker(%q) succeeded", bad)
		}
	}
}

func FuzzParseMarker(f *testing.F) {
	f.Add(position{created: time.UnixMilli(1).UTC(), id: "a"}.marker())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseMarker(s)
		if err != nil || s == "" {
			return
		}
		if again, err := parseMarker(position{p.created, strings.TrimSuffix(p.id, "\x7f")}.marker()); err != nil || again != p {
			t.Errorf("marker %q reads as %+v, then as %+v (%v)", s, p, again, err)
		}
	})
}

// TestDocument checks the documents of §8.2 and §8.3 byte by byte.
func TestDocument(t *testing.T) {
	t.Parallel()
	created := time.Date(2024, 11, 5, 8, 12, 44, int(999*time.Millisecond), time.UTC)
	hash, err := parseHash("dec019e4fa1e19c77797183e6b6ed8d733d5df7486060b6121f3bbdae9a6d6d4")
	if err != nil {
		t.Fatal(err)
	}
	archives := []moraine.Archive{
		{ID: "one", Description: "ledger dump, week 45", Created: created, Size: 5767168, TreeHash: hash},
		{ID: "two", Description: `{"path": "/x\y"} <m>&`, Created: created, Size: 4, TreeHash: hash},
		{ID: "three", Created: created, Size: 1, TreeHash: hash},
	}
	snapshot := time.Date(2024, 11, 6, 3, 11, 52, int(880*time.Millisecond), time.UTC)
	print := func(format moraine.Format, archives []moraine.Archive) string {
		d := document{vault: "arn:aws:glacier:eu-north-1:210987654321:vaults/v", inv: moraine.Inventory{Format: format, Snapshot: snapshot}}
		b := d.head(nil)
		for i := range archives {
			b = d.item(b, &archives[i], i == 0)
		}
		return string(d.tail(b))
	}
	const h = "dec019e4fa1e19c77797183e6b6ed8d733d5df7486060b6121f3bbdae9a6d6d4"
	wantJSON := `{"VaultARN":"arn:aws:glacier:eu-north-1:210987654321:vaults/v","InventoryDate":"2024-11-06T03:11:52Z","ArchiveList":[` +
		`{"ArchiveId":"one","ArchiveDescription":"ledger dump, week 45","CreationDate":"2024-11-05T08:12:44Z","Size":5767168,"SHA256TreeHash":"` + h + `"},` +
		`{"ArchiveId":"two","ArchiveDescription":"{\"path\": \"/x\\y\"} <m>&","CreationDate":"2024-11-05T08:12:44Z","Size":4,"SHA256TreeHash":"` + h + `"},` +
		`{"ArchiveId":"three","ArchiveDescription":"","CreationDate":"2024-11-05T08:12:44Z","Size":1,"SHA256TreeHash":"` + h + `"}]}`
	wantCSV := "ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash\n" +
		`one,"ledger dump, week 45",2024-11-05T08:12:44Z,5767168,` + h + "\n" +
		`two,"{\"path\": \"/x\y\"} <m>&",2024-11-05T08:12:44Z,4,` + h + "\n" +
		`three,"",2024-11-05T08:12:44Z,1,` + h + "\n"
	if diff := cmp.Diff(wantJSON, print(moraine.JSON, archives)); diff != "" {
		t.Errorf("JSON: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(wantCSV, print(moraine.CSV, archives)); diff != "" {
		t.Errorf("CSV: -want +got\n%s", diff)
	}
	wantEmpty := `{"VaultARN":"arn:aws:glacier:eu-north-1:210987654321:vaults/v","InventoryDate":"2024-11-06T03:11:52Z","ArchiveList":[]}`
	if diff := cmp.Diff(wantEmpty, print(moraine.JSON, nil)); diff != "" {
		t.Errorf("empty JSON: -want +got\n%s", diff)
	}
}

func parseHash(s string) (h moraine.TreeHash, err error) {
	err = h.UnmarshalText([]byte(s))
	return h, err
}
