package sns_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/egress"
	"moraine/internal/notify/sns"
)

const topic = "arn:aws:sns:eu-north-1:210987654321:done"

// TestDeliver publishes to a server that speaks the API and refuses the first
// time.
func TestDeliver(t *testing.T) {
	t.Parallel()
	posts := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts++
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		want := map[string][]string{"Action": {"Publish"}, "Version": {"2010-03-31"}, "TopicArn": {topic}, "Message": {`{"a":"<&>é"}`}}
		if diff := cmp.Diff(want, map[string][]string(r.PostForm)); diff != "" {
			t.Errorf("form: want (-), got (+):\n%s", diff)
		}
		authorization := r.Header.Get("Authorization")
		if !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential=AKIAX/") || !strings.Contains(authorization, "/eu-north-1/sns/aws4_request") {
			t.Errorf("Authorization: %s", authorization)
		}
		w.Header().Set("Content-Type", "text/xml")
		if posts == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>InternalError</Code><Message>busy</Message></Error></ErrorResponse>`)
			return
		}
		fmt.Fprint(w, `<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
	}))
	defer server.Close()
	s := sns.New(sns.Config{
		Endpoint: server.URL, Region: "eu-north-1", KeyID: "AKIAX", Secret: "very secret", Client: egress.Dialer{AllowPrivate: true}.Client(),
	})
	m := moraine.Message{ID: "1", Topic: topic, Body: `{"a":"<&>é"}`}
	if err := s.Deliver(t.Context(), m); err == nil || !strings.Contains(err.Error(), "busy") || posts != 1 {
		t.Errorf("first of %d posts: %v", posts, err)
	}
	if err := s.Deliver(t.Context(), m); err != nil || posts != 2 {
		t.Errorf("last of %d posts: %v", posts, err)
	}
}
