package adminapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/clock"
)

var (
	heldAt = time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)
	jumped = time.Date(2027, 3, 15, 12, 0, 0, 0, time.UTC)
)

// levered is a Clock with a pending jump, until it is confirmed.
func levered(s *clock.Status) *adminapi.Clock {
	return &adminapi.Clock{
		Status: func() clock.Status { return *s }, Process: "process 7 on here",
		Confirm: func(name time.Time) error {
			switch {
			case name.Equal(heldAt):
				return moraine.Errorf(moraine.Unavailable, "no disk")
			case !name.Equal(jumped):
				return &clock.Refused{Pending: s.Pending}
			}
			s.Now, s.Pending = jumped, clock.Jump{}
			return nil
		},
	}
}

func pendingStatus() *clock.Status {
	return &clock.Status{Now: heldAt, System: jumped, Pending: clock.Jump{From: heldAt, To: jumped}, Counts: clock.Counts{Held: 2, Back: 1}}
}

func TestConfirmClock(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body, origin string
		status             int
		reply              string // the beginning of
	}{
		{"confirmed", `{"jump":"2027-03-15T12:00:00Z"}`, "", 200, `{"state":"following","now":"2027-03-15T12:00:00Z","systemClock":"2027-03-15T12:00:00Z","process":"process 7 on here"}`},
		{"in another zone", `{"jump":"2027-03-15T13:00:00+01:00"}`, "", 200, `{"state":"following"`},
		{"another jump", `{"jump":"2027-03-15T12:00:01Z"}`, "", 409, `{"error":"the jump that is pending is the one to 2027-03-15T12:00:00Z, and no other can be confirmed"}`},
		{"not kept", `{"jump":"2026-03-15T12:00:00Z"}`, "", 503, `{"error":"no disk"}`},
		{"no name", `{}`, "", 400, `{"error":"name the jump`},
		{"nothing", ``, "", 400, `{"error":"the body is no JSON object"}`},
		{"no time", `{"jump":"now"}`, "", 400, `{"error":"the body is not as it should be`},
		{"something else", `{"advance":"24h"}`, "", 400, `{"error":"the body is not as it should be`},
		{"too long", `{"jump":"` + strings.Repeat("2", 2000) + `"}`, "", 413, `{"error":"http: request body too large"}`},
		{"a page in a browser", `{"jump":"2027-03-15T12:00:00Z"}`, "https://elsewhere.example", 403, `{"error":"cross-origin`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := pendingStatus()
			srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: adminapi.NewMetrics(adminapi.Sources{}), Clock: levered(s)}))
			defer srv.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/clock/confirm", strings.NewReader(tc.body))
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
			if err != nil || resp.StatusCode != tc.status || !strings.HasPrefix(string(reply), tc.reply) {
				t.Errorf("got %d %s %v, want %d %s", resp.StatusCode, reply, err, tc.status, tc.reply)
			}
			if confirmed := s.Pending.IsZero(); confirmed != (tc.status == http.StatusOK) {
				t.Errorf("confirmed: %v, answered %d", confirmed, resp.StatusCode)
			}
		})
	}
}

func TestClockStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		status  clock.Status
		reply   string // the beginning of
		health  string
		metrics []string
	}{
		{
			"following", clock.Status{Now: heldAt, System: heldAt.Add(time.Millisecond), Counts: clock.Counts{Believed: 3, Confirmed: 1}},
			`{"state":"following","now":"2026-03-15T12:00:00Z","systemClock":"2026-03-15T12:00:00.001Z","process":`, "ok\n",
			[]string{
				"moraine_clock_seconds 1.773576e+09", "moraine_clock_skew_seconds 0.001", "moraine_clock_pending_jump_seconds 0",
				`moraine_clock_jumps_total{kind="believed"} 3`, `moraine_clock_jumps_total{kind="confirmed"} 1`,
			},
		},
		{
			"held", *pendingStatus(),
			`{"state":"held","now":"2026-03-15T12:00:00Z","systemClock":"2027-03-15T12:00:00Z","pendingJump":{"from":"2026-03-15T12:00:00Z","to":"2027-03-15T12:00:00Z"},"advice":"the system clock jumped`,
			"ok\nclock: the system clock jumped to 2027-03-15T12:00:00Z, 8760h0m0s ahead of what is believed, and time goes on without it: if it is right, run moraine clock confirm 2027-03-15T12:00:00Z, else set it right\n",
			[]string{
				"moraine_clock_skew_seconds 3.1536e+07", "moraine_clock_pending_jump_seconds 3.1536e+07",
				`moraine_clock_jumps_total{kind="held"} 2`, `moraine_clock_jumps_total{kind="back"} 1`,
			},
		},
		{
			"standing", clock.Status{Now: jumped, System: heldAt, Behind: true},
			`{"state":"standing","now":"2027-03-15T12:00:00Z","systemClock":"2026-03-15T12:00:00Z","advice":"the system clock is 8760h0m0s behind`,
			"ok\nclock: the system clock is 8760h0m0s behind the newest time used, 2027-03-15T12:00:00Z, and time stands still until it has caught up: set it right\n",
			[]string{"moraine_clock_skew_seconds -3.1536e+07"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := levered(&tc.status)
			srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: adminapi.NewMetrics(adminapi.Sources{Clock: c.Status}), Clock: c}))
			defer srv.Close()
			if status, body := get(t, srv.URL+"/clock"); status != http.StatusOK || !strings.HasPrefix(body, tc.reply) {
				t.Errorf("%d %s, want %s", status, body, tc.reply)
			}
			if status, body := get(t, srv.URL+"/healthz"); status != http.StatusOK || body != tc.health {
				t.Errorf("health is %d %q, want %q", status, body, tc.health)
			}
			_, text := get(t, srv.URL+"/metrics")
			for _, want := range tc.metrics {
				if !strings.Contains(text, "\n"+want+"\n") {
					t.Errorf("the metrics lack %q", want)
				}
			}
		})
	}
}
