package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"moraine/internal/seal"
)

func parse(t testing.TB, text string) *seal.Keyring {
	t.Helper()
	k, err := seal.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	one := seal.Generate("two\nlines")
	if !strings.HasPrefix(one, "# two\n# lines\n") {
		t.Errorf("the comment is not above the key")
	}
	for _, text := range []string{"", "# nothing\n", "c2hvcnQ=\n", "not base64!\n", strings.Repeat(one, 17)} {
		if _, err := seal.Parse([]byte(text)); err == nil || strings.Contains(err.Error(), "c2hvcnQ") {
			t.Errorf("%q is taken for a keyring: %v", text, err)
		}
	}
	first, second := seal.Generate(""), seal.Generate("")
	old, both, other := parse(t, first), parse(t, second+"\n# before\n"+first), parse(t, second)
	sealed := old.Seal([]byte("plain"), "a")
	for _, row := range []struct {
		name    string
		keyring *seal.Keyring
		sealed  []byte
		of      string
		ok      bool
	}{
		{"the same", old, sealed, "a", true},
		{"a newer key before it", both, sealed, "a", true},
		{"another key", other, sealed, "a", false},
		{"another name", old, sealed, "b", false},
		{"cut", old, sealed[:len(sealed)-1], "a", false},
		{"nothing", old, nil, "a", false},
		{"only a header", old, sealed[:5], "a", false},
		{"another version", old, append([]byte{2}, sealed[1:]...), "a", false},
		{"a changed bit", old, append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1), "a", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			plain, err := row.keyring.Open(row.sealed, row.of)
			if row.ok != (err == nil && string(plain) == "plain") || !row.ok && !errors.Is(err, seal.ErrOpen) {
				t.Errorf("got %q, %v", plain, err)
			}
		})
	}
	next := both.Seal([]byte("plain"), "a")
	if bytes.Equal(next, sealed) {
		t.Error("the same text twice")
	}
	if _, err := other.Open(next, "a"); err != nil || both.Name() != other.Name() || both.Name() == old.Name() {
		t.Errorf("the first key does not seal: %v", err)
	}
}

// TestFormat opens what a released version sealed. Format: never change.
func TestFormat(t *testing.T) {
	t.Parallel()
	const sealed = "AWMNzSlH7ExYZ3wLyX/H2W3c5qutXqrrGT4Sss/Z6VYS5PqJKmK1Hdwvig=="
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	k := parse(t, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if plain, err := k.Open(raw, "name"); err != nil || string(plain) != "plain text" || k.Name() != "630dcd29" {
		t.Errorf("key %s opens %q, %v; newly sealed it is %s", k.Name(), plain, err,
			base64.StdEncoding.EncodeToString(k.Seal([]byte("plain text"), "name")))
	}
}

func TestKeyringIsNotPrinted(t *testing.T) {
	t.Parallel()
	text := "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	k := parse(t, text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{k, *k, struct{ k *seal.Keyring }{k}} {
			out := fmt.Sprintf(verb, v)
			if strings.Contains(out, "0 1 2 3") || strings.Contains(out, "00010203") || strings.Contains(out, "50462976") {
				t.Errorf("%s shows the key: %s", verb, out)
			}
		}
	}
}
