package server_test

import (
	"strings"
	"testing"

	"moraine/internal/account"
	"moraine/internal/server"
)

func TestParseCredentials(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		ok         bool
	}{
		{"as written", "[moraine]\naws_access_key_id = id\naws_secret_access_key = se=cret\n", true},
		{"without spaces, with comments", "# c\n; c\n[ moraine ]\n#aws_access_key_id=no\naws_access_key_id=id\r\naws_secret_access_key=se=cret", true},
		{"after another profile", "[default]\naws_access_key_id=x\n[moraine]\naws_access_key_id=id\naws_secret_access_key=se=cret", true},
		{"before another profile", "[moraine]\naws_access_key_id=id\naws_secret_access_key=se=cret\n[z]\naws_access_key_id=x", true},
		{"another profile alone", "[default]\naws_access_key_id=id\naws_secret_access_key=se=cret", false},
		{"no secret", "[moraine]\naws_access_key_id=id\naws_secret_access_key=\n", false},
		{"empty", "", false},
	} {
		id, secret, err := server.ParseCredentials([]byte(tc.text))
		if ok := err == nil && id == "id" && string(secret) == "se=cret"; ok != tc.ok {
			t.Errorf("%s: got %q, %d characters, %v", tc.name, id, len(secret), err)
		}
	}
}

// What is read can be written and read again; no error shows what was read.
func FuzzParseCredentials(f *testing.F) {
	f.Add("[moraine]\naws_access_key_id = AKIA\naws_secret_access_key = c2VjcmV0\n")
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, err := server.ParseCredentials([]byte(text))
		if err != nil {
			if len(text) > 40 && strings.Contains(err.Error(), text) {
				t.Errorf("the error shows the file: %v", err)
			}
			return
		}
		again := server.FormatCredentials("012345678901", account.Root{KeyID: id, Secret: secret})
		gotID, gotSecret, err := server.ParseCredentials([]byte(again))
		if err != nil || gotID != id || string(gotSecret) != string(secret) {
			t.Errorf("%q became %q, %v", text, again, err)
		}
	})
}
