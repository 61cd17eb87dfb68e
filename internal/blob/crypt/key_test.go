package crypt_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"moraine/internal/blob/crypt"
)

// TestKeysAreNotPrinted prints keys in all ways, alone and inside of others.
func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	key := crypt.GenerateKey()
	ring := ringOf(t, key)
	type holder struct {
		Key  crypt.Key
		ring *crypt.Ring
		key  crypt.Key
	}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{key, &key, ring, *ring, holder{key, ring, key}, &holder{key, ring, key}, []crypt.Key{key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(text)
		log.Info("x", "v", v)
	}
	raw := key.Bytes()
	decimal := strings.Trim(fmt.Sprint(raw[:4]), "[]")
	for _, secret := range []string{string(raw[:8]), hex.EncodeToString(raw[:8]), decimal, strings.ReplaceAll(decimal, " ", ", ")} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("a key is printed as %q", secret)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	raw := make([]byte, crypt.KeySize)
	raw[0] = 1
	a, err := crypt.NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	raw[0] = 2 // of no effect on a
	b, err := crypt.NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	if a.Bytes()[0] != 1 || a.Equal(b) || !a.Equal(a) || a.ID() == b.ID() {
		t.Errorf("two keys are mistaken for each other")
	}
	// Format: never change.
	if got := a.ID().String(); got != "6dffba59fbee7448" {
		t.Errorf("the id of a key has become %s", got)
	}
	if id, err := crypt.ParseKeyID(a.ID().String()); err != nil || id != a.ID() {
		t.Errorf("%s is read as %s, %v", a.ID(), id, err)
	}
	for _, bad := range []string{"", "00", "00112233445566GG", "00112233445566AA", "001122334455667788", "0011223344556677 "} {
		if id, err := crypt.ParseKeyID(bad); err == nil {
			t.Errorf("%q is read as %s", bad, id)
		}
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := crypt.NewKey(make([]byte, n)); err == nil {
			t.Errorf("%d bytes are a key", n)
		}
	}
	if _, err := crypt.NewRing(); err == nil {
		t.Error("a ring without keys")
	}
}
