package kms_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"moraine"
	"moraine/internal/blobkeys/kms"
	"moraine/internal/blobkeys/mastertest"
)

const arn = "arn:aws:kms:eu-north-1:210987654321:key/1234abcd-12ab-34cd-56ef-1234567890ab"

func open(t *testing.T, endpoint, key string) *kms.Master {
	t.Helper()
	m, err := kms.Open(t.Context(), kms.Config{
		Key: key, Region: "eu-north-1", Endpoint: endpoint, Credentials: credentials.NewStaticCredentialsProvider("AKIAX", "secret", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMaster(t *testing.T) {
	t.Parallel()
	k := mastertest.NewKMS(t, arn)
	mastertest.Run(t, "kms", func(t *testing.T) mastertest.Master { return open(t, k.URL, arn) })
	if got := open(t, k.URL, arn).Name(); got != "kms:"+arn {
		t.Errorf("the name is %s", got)
	}
}

// TestRefusals has KMS answer in the ways that are no answer.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		code   string
		status int
		kind   moraine.Kind
		asked  int32 // how often, as the SDK tries again
	}{
		{"AccessDeniedException", 400, moraine.Denied, 1},
		{"UnrecognizedClientException", 400, moraine.Denied, 1},
		{"DisabledException", 400, moraine.Denied, 1},
		{"KMSInvalidStateException", 400, moraine.Denied, 1},
		{"NotFoundException", 400, moraine.NotFound, 1},
		{"InvalidCiphertextException", 400, moraine.Corrupt, 1},
		{"IncorrectKeyException", 400, moraine.Corrupt, 1},
		{"KMSInternalException", 500, moraine.Unavailable, 3},
	} {
		t.Run(row.code, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			k := mastertest.NewKMS(t, arn)
			k.Before = func(w http.ResponseWriter, _ *http.Request) bool {
				asked.Add(1)
				mastertest.RefuseKMS(w, row.status, row.code)
				return true
			}
			_, err := open(t, k.URL, arn).Wrap(t.Context(), "a", []byte("key"))
			if !moraine.IsKind(err, row.kind) || asked.Load() != row.asked {
				t.Errorf("Wrap: %v (%v), asked %d times", err, moraine.KindOf(err), asked.Load())
			}
			_, err = open(t, k.URL, arn).Unwrap(t.Context(), "a", []byte("wrapped"))
			if !moraine.IsKind(err, row.kind) {
				t.Errorf("Unwrap: %v (%v)", err, moraine.KindOf(err))
			}
		})
	}
	k := mastertest.NewKMS(t)
	if _, err := open(t, k.URL, arn).Wrap(t.Context(), "a", []byte("key")); !moraine.IsKind(err, moraine.NotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
}

// TestAway asks somebody who never answers, and nobody.
func TestAway(t *testing.T) {
	t.Parallel()
	k := mastertest.NewKMS(t, arn)
	release := make(chan struct{})
	k.Before = func(http.ResponseWriter, *http.Request) bool { <-release; return true }
	defer close(release)
	for _, endpoint := range []string{k.URL, "http://127.0.0.1:1"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := open(t, endpoint, arn).Wrap(ctx, "a", []byte("key"))
		if !moraine.IsKind(err, moraine.Unavailable) || endpoint == k.URL && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
