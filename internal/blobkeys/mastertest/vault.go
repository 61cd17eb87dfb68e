package mastertest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Vault stands in for HashiCorp Vault with a transit engine.
type Vault struct {
	*httptest.Server
	// Before, if not nil, is called first and may answer in its place.
	Before func(w http.ResponseWriter, r *http.Request) (answered bool)

	keys keys
}

// VaultToken is the only one that a Vault takes.
const VaultToken = "hvs.stand-in"

// NewVault starts a Vault on loopback, which ends with the test.
func NewVault(t testing.TB) *Vault {
	v := &Vault{}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

// ServeHTTP implements http.Handler.
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if v.Before != nil && v.Before(w, r) {
		return
	}
	refuse := func(status int, text string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string][]string{"errors": {text}})
	}
	if r.Header.Get("X-Vault-Token") != VaultToken {
		refuse(http.StatusForbidden, "permission denied")
		return
	}
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	var in struct {
		Plaintext  string `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
		Associated []byte `json:"associated_data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Method != http.MethodPost || len(path) < 3 {
		refuse(http.StatusBadRequest, "no request of the engine")
		return
	}
	operation := path[len(path)-2]
	key := v.keys.find(r.Header.Get("X-Vault-Namespace") + "|" + strings.Join(append(path[:len(path)-2:len(path)-2], path[len(path)-1]), "/"))
	out := map[string]string{}
	switch operation {
	case "encrypt":
		plain, err := base64.StdEncoding.DecodeString(in.Plaintext)
		if err != nil {
			refuse(http.StatusBadRequest, "failed to base64-decode plaintext")
			return
		}
		out["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(key.Seal(nil, nil, plain, in.Associated))
	case "decrypt":
		text, ok := strings.CutPrefix(in.Ciphertext, "vault:v1:")
		sealed, err := base64.StdEncoding.DecodeString(text)
		if err == nil {
			sealed, err = key.Open(nil, nil, sealed, in.Associated)
		}
		if err != nil || !ok {
			refuse(http.StatusBadRequest, "cipher: message authentication failed")
			return
		}
		out["plaintext"] = base64.StdEncoding.EncodeToString(sealed)
	default:
		refuse(http.StatusNotFound, "no handler for route")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "data": out})
}
