package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"moraine"
	"moraine/internal/config"
	"moraine/internal/server"
	"moraine/internal/sigv4"
)

const (
	hookSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	topicPrefix = "arn:aws:sns:us-east-1:210987654321:"
)

// send makes a request with a short body and wants a status.
func (r *running) send(t *testing.T, k sigv4.Key, method, path, body string, want int) *http.Response {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	resp, err := r.call(t, k, method, path, hex.EncodeToString(sum[:]), strings.NewReader(body), nil)
	mustAnswer(t, resp, err, want)
	return resp
}

// receiver is a webhook that hands on the data of the events it gets.
func receiver(t *testing.T) (url string, got chan string) {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	got = make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var event struct{ Data json.RawMessage }
		if err := errors.Join(err, hook.Verify(body, r.Header), json.Unmarshal(body, &event)); err != nil {
			t.Error(err)
		}
		got <- string(event.Data)
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func wait(t *testing.T, got chan string) string {
	t.Helper()
	select {
	case text := <-got:
		return text
	case <-time.After(waitMax):
		t.Fatal("no message comes")
		return ""
	}
}

// TestMessages follows the messages about a job: one to a webhook, one that is
// kept until its topic has a target.
func TestMessages(t *testing.T) {
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, got := receiver(t)
	cfg := settings(t, dir)
	cfg.Notify = config.Notify{
		AllowPrivate: true, WebhookSecretFile: secret,
		Targets: []config.NotifyTarget{{Topic: topicPrefix + "done", Kind: config.NotifyWebhook, URL: url}},
	}
	r := start(t, cfg)
	k := key(t, dir)
	r.send(t, k, "PUT", "/-/vaults/v", "", http.StatusCreated)
	r.send(t, k, "PUT", "/-/vaults/v/notification-configuration",
		`{"SNSTopic":"`+topicPrefix+`done","Events":["InventoryRetrievalCompleted"]}`, http.StatusNoContent)
	resp := r.send(t, k, "POST", "/-/vaults/v/jobs",
		`{"Type":"inventory-retrieval","Description":"<&>","SNSTopic":"`+topicPrefix+`later"}`, http.StatusAccepted)
	body := wait(t, got)
	if id := resp.Header.Get("x-amz-job-id"); !strings.Contains(body, `"JobId":"`+id+`"`) || !strings.Contains(body, `"JobDescription":"<&>"`) ||
		!strings.Contains(body, `"StatusCode":"Succeeded"`) {
		t.Errorf("message %s", body)
	}
	r.log.wait(t, "a topic without a target", 1)
	r.stop(t)

	o := server.Offline{Data: dir}
	var kept []moraine.Message
	err := o.Messages(t.Context(), time.Hour, func(m moraine.Message, removed time.Time) error {
		if want := m.Created.Add(time.Hour); m.State == moraine.MessageUnrouted && !removed.Equal(want) {
			t.Errorf("removed at %v, want %v", removed, want)
		}
		if m.Topic != topicPrefix+"done" { // which the end of the server may have cut off from its answer
			kept = append(kept, m)
		}
		return nil
	})
	if err != nil || len(kept) != 1 || kept[0].Topic != topicPrefix+"later" || kept[0].Body != body {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	if err := o.RetryMessage(t.Context(), "other"); !moraine.IsKind(err, moraine.NotFound) {
		t.Errorf("retry of no message: %v", err)
	}
	if err := o.RetryMessage(t.Context(), kept[0].ID); err != nil {
		t.Fatal(err)
	}
	cfg.Notify.Targets[0].Topic = topicPrefix + "later"
	r = start(t, cfg)
	if again := wait(t, got); again != body {
		t.Errorf("message %s", again)
	}
	r.stop(t)
}

// TestBadWebhookSecret refuses to start without a secret that can sign.
func TestBadWebhookSecret(t *testing.T) {
	cfg := settings(t, t.TempDir())
	cfg.Notify.WebhookSecret = "whsec_short"
	if text := refused(t, cfg); !strings.Contains(text, "the webhook secret is not whsec_") {
		t.Error(text)
	}
	cfg.Notify.WebhookSecret, cfg.Notify.WebhookSecretFile = "", filepath.Join(t.TempDir(), "none")
	if text := refused(t, cfg); !strings.Contains(text, "notify.webhook_secret_file") {
		t.Error(text)
	}
}
