package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/job"
)

// TestRoutes sends every operation of the index through the router, and what
// is not in it.
func TestRoutes(t *testing.T) {
	t.Parallel()
	r := newRouter(operations)
	if len(r) != len(operations) {
		t.Fatalf("%d operations share %d routes", len(operations), len(r))
	}
	for i := range operations {
		op := &operations[i]
		path := "/-/" + strings.NewReplacer("{v}", "a%2Eb", "{id}", "an-id_0").Replace(op.path)
		got, err := r.route(op.method, path)
		if err != nil || got.op != op {
			t.Errorf("%s %s: %v, %v; want %s", op.method, path, got.op, err, op.name)
			continue
		}
		if want := strings.Contains(op.path, "{v}"); want && got.vault != "a.b" || !want && got.vault != "" {
			t.Errorf("%s %s: vault %q", op.method, path, got.vault)
		}
		if want := strings.Contains(op.path, "{id}"); want && got.id != "an-id_0" || !want && got.id != "" {
			t.Errorf("%s %s: id %q", op.method, path, got.id)
		}
	}
	for _, request := range []string{
		"GET /", "GET /-", "GET /vaults", "POST /-/vaults", "PATCH /-/vaults/v", "GET /-/vaults/v/unknown",
		"GET /-/vaults/v/jobs/j/output/x", "GET /-/vaults/v/jobs/j/result", "PUT /-/vaults/v/archives",
		"GET /-/Vaults/v", "HEAD /-/vaults/v", "GET /-/vaults/v/jobs/j/output/" + strings.Repeat("x/", 100),
	} {
		method, path, _ := strings.Cut(request, " ")
		if got, err := r.route(method, path); !moraine.IsKind(err, moraine.BadRequest) {
			t.Errorf("%s routes to %v, %v", request, got.op, err)
		}
	}
}

// TestToWire checks the one table from error kinds to the wire, and that
// nothing private gets through it.
func TestToWire(t *testing.T) {
	t.Parallel()
	private := errors.New("private /path/to/db")
	for kind := moraine.Internal; kind <= moraine.Corrupt; kind++ {
		err := fmt.Errorf("upload: %w", moraine.Wrap(private, kind, "said to %s", "clients"))
		e := toWire(err)
		if _, listed := wireKinds[kind]; !listed || e.Status < 400 || e.Code == "" {
			t.Errorf("kind %v becomes %+v", kind, e)
		}
		want := "said to clients"
		if kind == moraine.Internal || kind == moraine.Corrupt {
			want = internalMessage
		}
		if e.Message != want || strings.Contains(string(e.body()), "private") {
			t.Errorf("kind %v says %s", kind, e.body())
		}
		if server := e.Status >= 500; server != (e.Type == "Server") {
			t.Errorf("kind %v has status %d and type %s", kind, e.Status, e.Type)
		}
	}
	e := toWire(private)
	if e.Status != http.StatusInternalServerError || e.Code != "ServiceUnavailableException" || e.Message != internalMessage {
		t.Errorf("an error without a kind becomes %+v", e)
	}
	for _, tt := range []struct {
		kind moraine.Kind
		want string
	}{
		{moraine.NotFound, `{"code":"ResourceNotFoundException","message":"<&>","type":"Client"}`},
		{moraine.Denied, `{"message":"<&>","code":"AccessDeniedException","type":"Client"}`},
	} {
		if got := string(toWire(moraine.Errorf(tt.kind, "<&>")).body()); got != tt.want {
			t.Errorf("body %s, want %s", got, tt.want)
		}
	}
}

func TestDecodeParameters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		want       job.Parameters
		refusal    string
	}{
		{"archive", `{"Type":"archive-retrieval","ArchiveId":"a","Tier":null}`, job.Parameters{Type: "archive-retrieval", ArchiveID: "a"}, ""},
		{"last wins", `{"Type":"a","Type":"b"}`, job.Parameters{Type: "b"}, ""},
		{"case counts", `{"type":"a"}`, job.Parameters{}, ""},
		{"numbers and booleans", `{"Type":5,"Tier":true,"InventoryRetrievalParameters":{"Limit":1000}}`,
			job.Parameters{Type: "5", Tier: "true", Inventory: job.InventoryParameters{Limit: "1000"}}, ""},
		{"unknown keys", `{"Type":"x","Color":{"a":[1]}}`, job.Parameters{Type: "x"}, ""},
		{"null objects", `{"InventoryRetrievalParameters":null,"SelectParameters":null}`, job.Parameters{}, ""},
		{"select", `{"SelectParameters":{},"OutputLocation":{"S3":{}}}`, job.Parameters{HasSelectParameters: true, HasOutputLocation: true}, ""},
		{"empty", ``, job.Parameters{}, "Required parameter missing: Job Parameters"},
		{"blank", " \n", job.Parameters{}, "Required parameter missing: Job Parameters"},
		{"array", `[]`, job.Parameters{}, "Could not parse request body into json."},
		{"null", `null`, job.Parameters{}, "Could not parse request body into json."},
		{"trailing comma", `{"Type":"a",}`, job.Parameters{}, "Could not parse request body into json."},
		{"trailing data", `{} {}`, job.Parameters{}, "Could not parse request body into json."},
		{"object for a string", `{"Type":{}}`, job.Parameters{}, "Could not parse request body into json."},
		{"string for an object", `{"InventoryRetrievalParameters":"x"}`, job.Parameters{}, "Could not parse request body into json."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeParameters([]byte(tt.body))
			if tt.refusal != "" {
				if err == nil || err.Error() != tt.refusal {
					t.Errorf("decodeParameters(%s) = %v, want %q", tt.body, err, tt.refusal)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("decodeParameters(%s): %v, -want +got\n%s", tt.body, err, diff)
			}
		})
	}
}

func FuzzDecodeParameters(f *testing.F) {
	f.Add([]byte(`{"Type":"inventory-retrieval","Format":"CSV","InventoryRetrievalParameters":{"Limit":"3","StartDate":null}}`))
	f.Add([]byte(`{"Type":1e3,"SelectParameters":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodeParameters(body)
		if err != nil {
			if !moraine.IsKind(err, moraine.Missing) && !moraine.IsKind(err, moraine.Malformed) {
				t.Errorf("decodeParameters(%q) fails with %v (%v)", body, err, moraine.KindOf(err))
			}
			return
		}
		again, err := decodeParameters(encodeJSON(map[string]any{
			"Type": p.Type, "ArchiveId": p.ArchiveID, "Description": p.Description, "SNSTopic": p.SNSTopic, "Tier": p.Tier,
			"RetrievalByteRange": p.RetrievalByteRange, "Format": p.Format,
			"InventoryRetrievalParameters": p.Inventory,
		}))
		again.HasSelectParameters, again.HasOutputLocation = p.HasSelectParameters, p.HasOutputLocation
		if diff := cmp.Diff(p, again); err != nil || diff != "" {
			t.Errorf("decodeParameters(%q) reads back differently: %v\n%s", body, err, diff)
		}
	})
}

func TestMillis(t *testing.T) {
	t.Parallel()
	if got := millis(time.Time{}); got != nil {
		t.Errorf("the zero time prints %q", *got)
	}
	for at, want := range map[time.Time]string{
		time.Date(2024, 11, 5, 8, 9, 10, 42_000_000, time.UTC):        "2024-11-05T08:09:10.042Z",
		time.Date(2024, 11, 5, 9, 9, 10, 0, time.FixedZone("", 3600)): "2024-11-05T08:09:10.000Z",
		time.Date(2024, 11, 5, 8, 9, 10, 999_999_999, time.UTC):       "2024-11-05T08:09:10.999Z",
	} {
		if got := millis(at); *got != want {
			t.Errorf("millis(%v) = %s, want %s", at, *got, want)
		}
	}
}
