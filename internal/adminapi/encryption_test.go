package adminapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/blobkeys"
)

var keyMade = time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)

func twoKeys() blobkeys.Status {
	return blobkeys.Status{Master: "file:0a", Old: "kms:x", Keys: []blobkeys.Key{
		{ID: "01", Created: keyMade, WrappedBy: "kms:x"}, {ID: "02", Created: keyMade, WrappedBy: "file:0a", Current: true},
	}}
}

func TestEncryptionReply(t *testing.T) {
	t.Parallel()
	rewrapped := twoKeys()
	rewrapped.Keys[0].WrappedBy = "file:0a"
	reading, lost := twoKeys(), twoKeys()
	reading.Master, lost.Master, lost.Old = "", "", ""
	for _, row := range []struct {
		name          string
		status        blobkeys.Status
		state, advice string
	}{
		{"off", blobkeys.Status{}, "off", ""},
		{"on", rewrapped, "on", ""},
		{"on, with a key of another master", twoKeys(), "on", "1 of 2 keys are wrapped by another master"},
		{"only reading", reading, "reading", ""},
		{"no master", lost, "reading", "no server can start"},
	} {
		r := adminapi.NewEncryptionReply(row.status)
		if r.State != row.state || (r.Advice == "") != (row.advice == "") || !strings.Contains(r.Advice, row.advice) || len(r.Keys) != len(row.status.Keys) {
			t.Errorf("%s: %+v", row.name, r)
		}
	}
}

func TestChangeKeys(t *testing.T) {
	t.Parallel()
	const all = `{"state":"on","master":"file:0a","oldMaster":"kms:x","keys":[{"keyId":"01","created":"2026-03-15T12:00:00Z","wrappedBy":"kms:x"},` +
		`{"keyId":"02","created":"2026-03-15T12:00:00Z","wrappedBy":"file:0a","current":true}],"advice":"1 of 2 keys`
	for _, tc := range []struct {
		name, method, path, body, origin string
		err                              error
		status                           int
		reply                            string // the beginning of
		done                             string // which changes were asked for
	}{
		{"status", "GET", "", "", "", nil, 200, all, ""},
		{"rotate", "POST", "/rotate", "", "", nil, 200, all, "rotate"},
		{"rewrap", "POST", "/rewrap", "{}", "", nil, 200, all, "rewrap"},
		{"with a parameter", "POST", "/rotate", `{"key":"x"}`, "", nil, 400, `{"error":"the body is not as it should be`, ""},
		{"with too much", "POST", "/rotate", `{"key":"` + strings.Repeat("x", 2000), "", nil, 413, `{"error":"http: request body too large"}`, ""},
		{"a page in a browser", "POST", "/rotate", "", "https://elsewhere.example", nil, 403, `{"error":"cross-origin`, ""},
		{"nothing to change", "POST", "/rewrap", "", "", moraine.Errorf(moraine.Invalid, "off"), 409, `{"error":"off"}`, "rewrap"},
		{"the master refuses", "POST", "/rotate", "", "", moraine.Errorf(moraine.Denied, "no"), 503, `{"error":"no"}`, "rotate"},
		{"a fault", "POST", "/rotate", "", "", errors.New("no disk"), 503, `{"error":"no disk"}`, "rotate"},
		{"a change by reading", "GET", "/rotate", "", "", nil, 405, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			done := ""
			change := func(what string) func(context.Context) error {
				return func(context.Context) error { done += what; return tc.err }
			}
			srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: adminapi.NewMetrics(adminapi.Sources{}), Encryption: &adminapi.Encryption{
				Status: func(context.Context) (blobkeys.Status, error) { return twoKeys(), nil },
				Rotate: change("rotate"), Rewrap: change("rewrap"),
			}}))
			defer srv.Close()
			req, err := http.NewRequestWithContext(t.Context(), tc.method, srv.URL+adminapi.EncryptionPath+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if tc.origin != "" {
				req.Header.Set("Origin", tc.origin)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			reply, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tc.status || !strings.HasPrefix(string(reply), tc.reply) || done != tc.done {
				t.Errorf("got %d %s %v, done %q; want %d %s, %q", resp.StatusCode, reply, err, done, tc.status, tc.reply, tc.done)
			}
		})
	}
}
