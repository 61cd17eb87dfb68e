package sigv4_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"moraine/internal/sigv4"
)

func TestSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	key := sigv4.Key{ID: keyID, Secret: sigv4.Secret("hunter2"), Token: sigv4.Secret("hunter2")}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", key, key.Secret, &key.Secret)
	}
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", key, "secret", key.Secret)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", key, "secret", key.Secret)
	out.WriteString(key.Secret.String() + key.Secret.GoString())
	for _, leak := range []string{"hunter2", "68756e74", "104 117", "aHVudGVy"} {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(leak)) {
			t.Errorf("%q leaks in:\n%s", leak, out.String())
		}
	}
	if string(key.Secret) != "hunter2" {
		t.Error("the bytes are gone")
	}
}

type lookupFunc func(keyID, token string) (sigv4.Key, error)

func (f lookupFunc) Lookup(_ context.Context, keyID, token string) (sigv4.Key, error) {
	return f(keyID, token)
}

func TestLookupFault(t *testing.T) {
	t.Parallel()
	fault := errors.New("store is away")
	cfg := config(now)
	cfg.Keys = lookupFunc(func(string, string) (sigv4.Key, error) { return sigv4.Key{}, fault })
	_, err := sigv4.New(cfg).Verify(t.Context(), get(), false)
	var refusal *sigv4.Error
	if !errors.Is(err, fault) || errors.As(err, &refusal) {
		t.Errorf("Verify = %v, want the fault and no refusal", err)
	}
}

func TestLookupGetsTheToken(t *testing.T) {
	t.Parallel()
	cfg := config(now)
	var gotID, gotToken string
	cfg.Keys = lookupFunc(func(id, token string) (sigv4.Key, error) {
		gotID, gotToken = id, token
		return keys()[id], nil
	})
	r := incomingAs(keys()[tempKeyID], "us-east-1", "glacier", at(now)(), "GET", "/-/vaults", "")
	if _, err := sigv4.New(cfg).Verify(t.Context(), r, false); err != nil {
		t.Fatal(err)
	}
	if gotID != tempKeyID || gotToken != token {
		t.Errorf("Lookup(%q, %q)", gotID, gotToken)
	}
}

// TestKeyCache follows the cache through a changed secret, a forgotten key, a
// new day and its bound.
func TestKeyCache(t *testing.T) {
	t.Parallel()
	ring, clock := keys(), at(now)()
	cfg := config(now)
	cfg.Keys = lookupFunc(func(id, _ string) (sigv4.Key, error) {
		if key, ok := ring[id]; ok {
			return key, nil
		}
		return sigv4.Key{ID: id, Secret: sigv4.Secret(secret)}, nil
	})
	cfg.Now = func() time.Time { return clock }
	v := sigv4.New(cfg)
	verify := func(key sigv4.Key) error {
		r := incomingAs(key, "us-east-1", "glacier", clock, "GET", "/-/vaults", "")
		_, err := v.Verify(t.Context(), r, false)
		return err
	}
	wantCached := func(want int) {
		t.Helper()
		if got := v.CachedKeys(); got != want {
			t.Errorf("%d keys cached, want %d", got, want)
		}
	}
	for range 2 {
		if err := verify(ring[keyID]); err != nil {
			t.Fatal(err)
		}
		wantCached(1)
	}

	old := ring[keyID]
	changed := old
	changed.Secret = sigv4.Secret("another")
	ring[keyID] = changed
	wantRow(t, verify(old), "A20")
	if err := verify(changed); err != nil {
		t.Fatal(err)
	}
	wantCached(1)

	v.Forget(tempKeyID)
	wantCached(1)
	v.Forget(keyID)
	wantCached(0)

	for i := range sigv4.SigningKeysMax + 10 {
		if err := verify(sigv4.Key{ID: fmt.Sprintf("AKIA%016d", i), Secret: sigv4.Secret(secret)}); err != nil {
			t.Fatal(err)
		}
	}
	wantCached(sigv4.SigningKeysMax)

	clock = clock.Add(24 * time.Hour)
	if err := verify(changed); err != nil {
		t.Fatal(err)
	}
	wantCached(1)
}

// TestHMAC compares with crypto/hmac, for keys around the size of a block.
func TestHMAC(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		key, text := bytes.Repeat([]byte{byte(n), 'k'}, n)[:n], strings.Repeat("t", 3*n)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		if got := sigv4.HMAC(key, text); [32]byte(mac.Sum(nil)) != got {
			t.Errorf("key of %d bytes: %x, want %x", n, got, mac.Sum(nil))
		}
	}
}
