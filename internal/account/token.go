package account

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"io"
	"time"

	"moraine"
	"moraine/internal/seal"
	"moraine/internal/sigv4"
)

// session is what a session token holds (access-control §1.10). Format: the
// names of the members never change.
type session struct {
	Secret         string            `json:"k"`
	Account        moraine.AccountID `json:"a"`
	Subject        string            `json:"s"`           // unique id of the user or role, account id for root
	Key            string            `json:"y,omitempty"` // of a user's or root's session: the long-term key that asked for it
	Name           string            `json:"n,omitempty"` // of a role's session
	Issued         int64             `json:"i"`           // seconds since 1970
	Expires        int64             `json:"e"`
	Revocations    int64             `json:"r,omitempty"`  // of the role so far, of a role's session
	Policy         string            `json:"p,omitempty"`  // session policy
	Policies       []string          `json:"ps,omitempty"` // ARNs of managed session policies
	Tags           []moraine.Tag     `json:"t,omitempty"`
	Transitive     []string          `json:"tt,omitempty"` // keys of tags for the next session of a chain
	SourceIdentity string            `json:"d,omitempty"`
}

// tokenMax is the longest token, in characters (access-control §1.10).
const tokenMax = 2048

// sessionPlainMax bounds what a token unpacks to.
const sessionPlainMax = 64 << 10

// tokenName binds a token to its key, and keeps tokens and secrets apart.
func tokenName(keyID string) string { return "session:" + keyID }

// sealToken makes the token of a session. size is how much of the longest
// token it takes, in percent.
func sealToken(k *seal.Keyring, keyID string, s *session) (token sigv4.Secret, size int, err error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, 0, err
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return nil, 0, err
	}
	w.Write(plain) // a buffer takes everything
	if err := w.Close(); err != nil {
		return nil, 0, err
	}
	text := base64.StdEncoding.EncodeToString(k.Seal(packed.Bytes(), tokenName(keyID)))
	if len(text) > tokenMax {
		return nil, 0, packedTooLarge(len(text), tokenMax)
	}
	return sigv4.Secret(text), percent(len(text), tokenMax), nil
}

// percent is what size is of limit, rounded up.
func percent(size, limit int) int { return (size*100 + limit - 1) / limit }

func packedTooLarge(size, limit int) error {
	return failf(PackedPolicyTooLarge, "Packed size of session tags and policies consumes %d%% of allotted space.", percent(size, limit))
}

// openToken reads a token. Anything that is not one of ours for this key is
// ErrUnknownKey.
func openToken(k *seal.Keyring, keyID, token string) (*session, error) {
	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(token) > tokenMax {
		return nil, sigv4.ErrUnknownKey
	}
	packed, err := k.Open(sealed, tokenName(keyID))
	if err != nil {
		return nil, sigv4.ErrUnknownKey
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), sessionPlainMax))
	if err != nil {
		return nil, sigv4.ErrUnknownKey
	}
	s := new(session)
	if err := json.Unmarshal(plain, s); err != nil {
		return nil, sigv4.ErrUnknownKey
	}
	return s, nil
}

func (s *session) issued() time.Time  { return time.Unix(s.Issued, 0).UTC() }
func (s *session) expires() time.Time { return time.Unix(s.Expires, 0).UTC() }
