// Package account keeps the identities of the server: accounts and their
// roots, users, groups, roles, managed policies, access keys and sessions.
//
// It knows who may be what, which key speaks for whom, and every rule of the
// identity operations (access-control §2). It must not know HTTP, how a
// signature is computed, or files: the assembly hands it the root credentials
// and the master keys.
//
// Directory answers who a key belongs to and what that principal may do;
// Service is the operations. Both read the rows at each call: a change is in
// force for the first call after it.
package account

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"moraine"
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
		KeyID:   newKeyID(),
		Secret:  sigv4.Secret(secret()),
	}
}

// Validate reports the first thing wrong with r, in a sentence for operators.
func (r Root) Validate() error {
	if len(r.Account) != 12 || strings.Trim(string(r.Account), "0123456789") != "" {
		return fmt.Errorf("account id %q is not twelve digits", r.Account)
	}
	if n := len(r.KeyID); n < 16 || n > 128 || strings.Trim(r.KeyID, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return errors.New("the access key id is not 16 to 128 capital letters and digits; was it swapped with the secret?")
	}
	if len(r.Secret) < 16 {
		return fmt.Errorf("the secret access key has %d characters, at least 16 are needed", len(r.Secret))
	}
	return nil
}

// Prefixes of access key ids (access-control §2.1).
const (
	longTermPrefix  = "AKIA"
	temporaryPrefix = "ASIA"
)

func newKeyID() string       { return longTermPrefix + keyChars(16) }
func newTemporaryID() string { return temporaryPrefix + keyChars(16) }

// newUniqueID makes an id such as AIDA… of a user.
func newUniqueID(prefix string) string { return prefix + keyChars(17) }

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
