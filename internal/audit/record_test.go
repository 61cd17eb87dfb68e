package audit_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/access"
	"moraine/internal/audit"
	"moraine/internal/audit/audittest"
)

var update = flag.Bool("update", false, "write golden files")

// printed returns the lines of records.
func printed(t testing.TB, cfg audit.Config, owner string, records ...*audit.Record) string {
	t.Helper()
	var out bytes.Buffer
	cfg.Out, cfg.Now = &out, func() time.Time { return noon }
	l, err := audit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := l.Append(r, owner); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

var link = regexp.MustCompile(`,"moraine":\{"seq":\d+,"prevHash":"[0-9a-f]{64}","hash":"[0-9a-f]{64}"\}\}\n$`)

// canonical takes the link off a line.
func canonical(t testing.TB, line string) string {
	t.Helper()
	at := link.FindStringIndex(line)
	if at == nil {
		t.Fatalf("no link in %s", line)
	}
	return line[:at[0]] + "}"
}

// full returns a record with every member, and another with none.
func full() (*audit.Record, *audit.Record) {
	role := access.Principal{
		Account: "111111111111", ARN: "arn:aws:sts::111111111111:assumed-role/reader/s", ID: "AROAEXAMPLE:s",
		RoleARN: "arn:aws:iam::111111111111:role/reader", RoleID: "AROAEXAMPLE", Issued: noon.Add(-time.Hour),
	}
	r := upload()
	r.UserIdentity = audit.IdentityOf(&role, "ASIAIOSFODNN7EXAMPLE")
	r.ErrorCode, r.ErrorMessage = "AccessDenied", "User: <x> & \"y\" is not authorized"
	r.TLS = audit.TLS{Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Host: "localhost:8443"}
	r.Data = true
	r.RequestParameters.Tree("tags", map[string]any{"b": "2", "a": []any{1.5, "x", nil, true, map[string]any{}}, "c": map[string]any{"d": "é"}})
	r.AdditionalEventData.Flag("replaySuspected", true)
	r.AdditionalEventData.Flag("authenticated", false)
	return r, &audit.Record{ReadOnly: true}
}

// TestGolden holds the bytes of records, but for the random id.
func TestGolden(t *testing.T) {
	t.Parallel()
	r, empty := full()
	root := write("CreateVault")
	root.Data = true
	text := printed(t, audit.Config{DataEvents: true}, "222222222222", r) + printed(t, audit.Config{}, "", upload(), root, empty)
	text = regexp.MustCompile(`(ventID":")[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`).ReplaceAllString(text, `${1}ID"`)
	text = regexp.MustCompile(`(hash|prevHash)":"[0-9a-f]{64}"`).ReplaceAllString(text, `$1":"HASH"`)
	path := filepath.Join("testdata", "records.golden")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// TestCanonical compares the encoder with that of the standard library, on
// values that either might print in another way.
func TestCanonical(t *testing.T) {
	t.Parallel()
	odd := []string{
		"", "a", `"\/`, "\x00\x01\b\f\n\r\t\x1f\x7f", "<b>&amp;</b>", "é€😀", "\u2028\u2029\ufffd", "\xff", "a\xc3", "\xed\xa0\x80", "12345678\"", "1234567\u2028",
		strings.Repeat("x", 100) + "\n" + strings.Repeat("ü", 50),
	}
	var records []*audit.Record
	for _, s := range odd {
		r := write("Odd" + s)
		r.UserAgent, r.ErrorMessage = s, s
		r.RequestParameters.Text("text"+s, s)
		r.RequestParameters.Tree("tree", map[string]any{s: s, "list": []any{s}, "z" + s: nil})
		r.AdditionalEventData.Number("least", math.MinInt64)
		r.AdditionalEventData.Number("most", math.MaxInt64)
		records = append(records, r)
	}
	for _, f := range []float64{0, -1, 1.5, 1e21, 1e-7, 123456789, math.MaxFloat64} {
		r := write("Float")
		r.ResponseElements.Tree("f", f)
		records = append(records, r)
	}
	some, none := full()
	for line := range strings.Lines(printed(t, audit.Config{}, "222222222222", append(records, some, none)...)) {
		got := canonical(t, line)
		if !utf8.ValidString(got) || !json.Valid([]byte(got)) {
			t.Fatalf("not JSON: %s", got)
		}
		// The numbers at the ends are beyond what a float holds.
		got = strings.NewReplacer("-9223372036854775808", "0", "9223372036854775807", "0").Replace(got)
		want := audittest.Encode(t, &audittest.Parse(t, []byte(got))[0])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-standard library +got):\n%s", diff)
		}
	}
}

// FuzzText holds the encoder of strings against the standard library's.
func FuzzText(f *testing.F) {
	f.Add("plain", "sp\"ecial\\\n\u2028\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		r := write("Fuzz")
		r.RequestParameters.Text("a", a)
		r.RequestParameters.Tree("b", map[string]any{b: a + b})
		got := canonical(t, printed(t, audit.Config{}, "", r))
		if want := audittest.Encode(t, &audittest.Parse(t, []byte(got))[0]); got != want {
			t.Errorf("%q, %q:\n%s\nwant\n%s", a, b, got, want)
		}
	})
}

// TestDataEvents checks the marks of records about the bytes of archives.
func TestDataEvents(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		on, data   bool
		category   string
		management bool
	}{
		{"off", false, true, "Management", true},
		{"on", true, true, "Data", false},
		{"on, but about a vault", true, false, "Management", true},
	} {
		r := write("UploadArchive")
		r.Data = tt.data
		e := audittest.Parse(t, []byte(printed(t, audit.Config{DataEvents: tt.on}, "", r)))[0]
		if e.EventCategory != tt.category || e.ManagementEvent != tt.management {
			t.Errorf("%s: %s, %v", tt.name, e.EventCategory, e.ManagementEvent)
		}
	}
}

// TestRecordsAreReused checks that nothing of a record is in the next one.
func TestRecordsAreReused(t *testing.T) {
	t.Parallel()
	for range 100 {
		some, _ := full()
		text := printed(t, audit.Config{}, "", some, audit.NewRecord())
		e := audittest.Parse(t, []byte(text))[1]
		e.EventID = ""
		want := audittest.Event{EventVersion: "1.08", EventTime: "2024-03-15T12:00:00Z", EventType: "AwsApiCall", ManagementEvent: true, EventCategory: "Management"}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Fatalf("an empty record (-want +got):\n%s", diff)
		}
	}
}
