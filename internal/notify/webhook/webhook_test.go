package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"moraine"
	"moraine/internal/egress"
	"moraine/internal/notify/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var message = moraine.Message{
	ID: "message-1", Topic: "arn:aws:sns:us-east-1:210987654321:done", Source: "arn:aws:glacier:us-east-1:210987654321:vaults/v",
	Event: moraine.ArchiveRetrievalCompleted, Job: "job-1", Body: `{"Action":"ArchiveRetrieval","JobDescription":"<&>","n":9007199254740993}`,
	Created: time.Date(2024, 11, 5, 8, 21, 5, int(640*time.Millisecond), time.UTC),
}

func newSink(t *testing.T, url string, allow bool) *webhook.Sink {
	t.Helper()
	key, err := webhook.ParseKey(secret + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return webhook.New(webhook.Config{URL: url, Key: key, Client: egress.Dialer{AllowPrivate: allow}.Client()})
}

// TestDeliver has a receiver that refuses the first post and checks the
// signature and the event of each.
func TestDeliver(t *testing.T) {
	t.Parallel()
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	posts := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts++
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := hook.Verify(body, r.Header); err != nil {
			t.Errorf("signature: %v", err)
		}
		var e event.Event
		if err := json.Unmarshal(body, &e); err != nil || e.Validate() != nil {
			t.Errorf("%s\nis no event: %v, %v", body, err, e.Validate())
		}
		if e.ID() != "message-1" || e.Source() != message.Source || e.Type() != "moraine.vault.ArchiveRetrievalCompleted" ||
			e.Subject() != "job-1" || !e.Time().Equal(message.Created) || e.Extensions()["topic"] != message.Topic ||
			string(e.Data()) != message.Body || !strings.Contains(string(body), message.Body) {
			t.Errorf("event:\n%s", body)
		}
		if got := r.Header.Get("Content-Type"); got != "application/cloudevents+json; charset=utf-8" || r.Method != http.MethodPost {
			t.Errorf("%s of %s", r.Method, got)
		}
		if posts == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	s := newSink(t, server.URL+"/secret", true)
	if err := s.Deliver(t.Context(), message); err == nil || err.Error() != "the webhook answered 503" {
		t.Errorf("first post: %v", err)
	}
	if err := s.Deliver(t.Context(), message); err != nil || posts != 2 {
		t.Errorf("post %d: %v", posts, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.RedirectHandler("/there", http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		url   string
		allow bool
		want  string
	}{
		"redirection": {server.URL + "/token", true, "307"},
		"private":     {server.URL + "/token", false, "private network"},
		"no host":     {"http:///token", true, "no Host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newSink(t, c.url, c.allow).Deliver(t.Context(), message)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "token") {
				t.Errorf("error %v, want one with %q and without the path", err, c.want)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "whsec_", "whsec_c2hvcnQ=", "whsec_***", "whsec_" + strings.Repeat("QUFB", 22)} {
		if _, err := webhook.ParseKey(bad); err == nil || strings.Contains(err.Error(), "c2hv") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
