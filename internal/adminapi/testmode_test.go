package adminapi_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/job"
)

// levers are a TestMode that writes down what was asked of it.
func levers(did *string) *adminapi.TestMode {
	ahead := time.Duration(0)
	return &adminapi.TestMode{
		Clock: func() (time.Time, time.Duration) { return time.Unix(0, 0).UTC().Add(ahead), ahead },
		Advance: func(d time.Duration) error {
			switch {
			case d < 0:
				return errors.New("only forward")
			case d == time.Second:
				return moraine.Errorf(moraine.Unavailable, "no disk")
			}
			ahead += d
			return nil
		},
		Delays:            func() job.Delays { return job.Delays{Standard: time.Hour} },
		SetDelays:         func(d job.Delays) { *did = fmt.Sprint(d) },
		FailNextJob:       func() { *did = "fail" },
		ScarceExpedited:   func(on bool) { *did = fmt.Sprint("scarce ", on) },
		Throttle:          func(n int) { *did = fmt.Sprint("throttle ", n) },
		TimeoutNextUpload: func() { *did = "timeout" },
	}
}

func TestTestMode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		path, body string
		status     int
		reply      string // the beginning of
		did        string
	}{
		{"clock", `{"advance":"24h"}`, 200, `{"now":"1970-01-02T00:00:00Z","ahead":"24h0m0s"}`, ""},
		{"clock", ` {"advance":"1m"} ` + "\n", 200, `{"now":"1970-01-01T00:01:00Z","ahead":"1m0s"}`, ""},
		{"clock", `{"advance":"-1h"}`, 400, `{"error":"only forward"}`, ""},
		{"clock", `{"advance":"1s"}`, 503, `{"error":"no disk"}`, ""},
		{"clock", `{"advance":"tomorrow"}`, 400, `{"error":"advance: \"tomorrow\" is no duration`, ""},
		{"clock", `{"advance":5}`, 400, `{"error":"the body is not as it should be`, ""},
		{"clock", `{}`, 400, `{"error":"say how far`, ""},
		{"clock", ``, 400, `{"error":"the body is no JSON object"}`, ""},
		{"clock", `null`, 400, `{"error":"the body is no JSON object"}`, ""},
		{"clock", `{"advance":"1h","back":"1h"}`, 400, `{"error":"the body is not as it should be`, ""},
		{"clock", `{"advance":"1h"}{}`, 400, `{"error":"something follows the JSON object"}`, ""},
		{"clock", `{"advance":"` + strings.Repeat("1", 5000) + `"}`, 413, `{"error":"http: request body too large"}`, ""},
		{"job-delays", `{"expedited":"1m","bulk":"5h"}`, 200, `{"expedited":"1m0s","standard":"1h0m0s","bulk":"5h0m0s"}`, "{1m0s 1h0m0s 5h0m0s}"},
		{"job-delays", `{"turbo":"1m"}`, 400, `{"error":"the body is not as it should be`, ""},
		{"job-delays", `{"bulk":"-1m"}`, 400, `{"error":"bulk: \"-1m\" is no delay`, ""},
		{"job-delays", `{"bulk":"9000h"}`, 400, `{"error":"bulk: \"9000h\" is no delay`, ""},
		{"job-delays", `{}`, 400, `{"error":"name at least one tier`, ""},
		{"fail-next-job", ``, 200, `{}`, "fail"},
		{"fail-next-job", `{}`, 200, `{}`, "fail"},
		{"fail-next-job", `{"job":"x"}`, 400, `{"error":`, ""},
		{"scarce-expedited", `{"on":true}`, 200, `{"on":true}`, "scarce true"},
		{"scarce-expedited", `{"on":false}`, 200, `{"on":false}`, "scarce false"},
		{"scarce-expedited", `{}`, 400, `{"error":"say whether`, ""},
		{"throttle", `{"requests":3}`, 200, `{"requests":3}`, "throttle 3"},
		{"throttle", `{"requests":-1}`, 400, `{"error":"say how many`, ""},
		{"throttle", `{"requests":1000001}`, 400, `{"error":"say how many`, ""},
		{"throttle", `{"requests":1.5}`, 400, `{"error":`, ""},
		{"throttle", `{}`, 400, `{"error":"say how many`, ""},
		{"timeout-next-upload", ``, 200, `{}`, "timeout"},
		{"timeout-next-upload", `[]`, 400, `{"error":`, ""},
		{"anything", `{}`, 404, "404", ""},
	} {
		t.Run(tc.path+" "+tc.body[:min(len(tc.body), 40)], func(t *testing.T) {
			t.Parallel()
			did := ""
			srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: adminapi.NewMetrics(adminapi.Sources{}), TestMode: levers(&did)}))
			defer srv.Close()
			resp, err := http.Post(srv.URL+"/test/"+tc.path, "application/json", strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			reply, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tc.status || !strings.HasPrefix(string(reply), tc.reply) || did != tc.did {
				t.Errorf("got %d %s, did %q, %v; want %d %s, did %q", resp.StatusCode, reply, did, err, tc.status, tc.reply, tc.did)
			}
		})
	}
}

// Without test mode there is nothing to steer.
func TestNoTestMode(t *testing.T) {
	t.Parallel()
	did := ""
	for _, tc := range []struct {
		name   string
		mode   *adminapi.TestMode
		status int
	}{{"off", nil, http.StatusNotFound}, {"on", levers(&did), http.StatusOK}} {
		srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: adminapi.NewMetrics(adminapi.Sources{}), TestMode: tc.mode}))
		if status, body := get(t, srv.URL+"/test/clock"); status != tc.status {
			t.Errorf("%s: %d %s, want %d", tc.name, status, body, tc.status)
		}
		srv.Close()
	}
}
