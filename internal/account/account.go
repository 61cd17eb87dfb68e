// Package account keeps the identities of the server: today the root identity
// of one account.
//
// It knows account ids, access keys and which principal a key speaks for. It
// must not know HTTP, how a signature is computed, or files: the assembly
// hands it the credentials.
package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/sigv4"
)

// Root is the root identity of an account.
type Root struct {
	Account moraine.AccountID // twelve digits
	KeyID   string            // access key id
	Secret  sigv4.Secret      // secret access key
}

// Generate makes a root identity: a random account id that does not begin with
// zero, a key id of twenty characters and a secret of forty.
func Generate() Root {
	return Root{
		Account: moraine.AccountID(string("123456789"[pick(9)]) + digits(11)),
		KeyID:   "AKIA" + keyChars(16),
		Secret:  sigv4.Secret(secret()),
	}
}

// Validate reports the first thing wrong with r, in a sentence for operators.
func (r Root) Validate() error {
	if len(r.Account) != 12 || strings.Trim(string(r.Account), "0123456789") != "" {
		return fmt.Errorf("account id %q is not twelve digits", r.Account)
	}
	if n := len(r.KeyID); n < 16 || n > 128 || strings.Trim(r.KeyID, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return fmt.Errorf("access key id %q is not 16 to 128 capital letters and digits", r.KeyID)
	}
	if len(r.Secret) < 16 {
		return fmt.Errorf("the secret access key has %d characters, at least 16 are needed", len(r.Secret))
	}
	return nil
}

// Directory answers who a key belongs to. It is immutable.
type Directory struct {
	root Root
}

// NewDirectory makes a directory that knows one root identity.
func NewDirectory(root Root) *Directory { return &Directory{root: root} }

// Lookup implements sigv4.Keys.
func (d *Directory) Lookup(_ context.Context, keyID, token string) (sigv4.Key, error) {
	if keyID != d.root.KeyID || token != "" {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{ID: d.root.KeyID, Secret: d.root.Secret}, nil
}

// Principal returns whom a verified key speaks for.
func (d *Directory) Principal(keyID string) (access.Principal, error) {
	if keyID != d.root.KeyID {
		return access.Principal{}, sigv4.ErrUnknownKey
	}
	return access.Principal{
		Account: d.root.Account,
		ARN:     "arn:aws:iam::" + string(d.root.Account) + ":root",
		Root:    true,
	}, nil
}

// pick returns a uniform random number below n, which is at most 256.
func pick(n int) int {
	limit := 256 - 256%n
	for {
		var b [1]byte
		rand.Read(b[:])
		if int(b[0]) < limit {
			return int(b[0]) % n
		}
	}
}

func digits(n int) string { return draw("0123456789", n) }

func keyChars(n int) string { return draw("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", n) }

func draw(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[pick(len(alphabet))]
	}
	return string(b)
}

func secret() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}
