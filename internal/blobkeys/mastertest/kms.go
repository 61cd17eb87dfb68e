package mastertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// KMS stands in for AWS KMS.
type KMS struct {
	*httptest.Server
	// Before, if not nil, is called first and may answer in its place.
	Before func(w http.ResponseWriter, r *http.Request) (answered bool)
	// Keys are the ARNs of the keys that there are.
	Keys []string

	keys keys
}

// NewKMS starts a KMS with keys on loopback, which ends with the test.
func NewKMS(t testing.TB, arns ...string) *KMS {
	k := &KMS{Keys: arns}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k
}

// RefuseKMS answers as KMS does when it refuses.
func RefuseKMS(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "said by the stand-in"})
}

// ServeHTTP implements http.Handler.
func (k *KMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if k.Before != nil && k.Before(w, r) {
		return
	}
	var in struct {
		KeyID      string            `json:"KeyId"`
		Plaintext  []byte            `json:"Plaintext"`
		Ciphertext []byte            `json:"CiphertextBlob"`
		Context    map[string]string `json:"EncryptionContext"`
	}
	region := ""
	if fields := strings.Split(r.Header.Get("Authorization"), "/"); len(fields) > 3 {
		region = fields[2]
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.Contains(in.KeyID, ":kms:"+region+":") {
		RefuseKMS(w, http.StatusBadRequest, "ValidationException")
		return
	}
	known := false
	for _, arn := range k.Keys {
		known = known || arn == in.KeyID
	}
	if !known {
		RefuseKMS(w, http.StatusBadRequest, "NotFoundException")
		return
	}
	context, err := json.Marshal(in.Context) // keys in order
	if err != nil {
		panic(err) // strings always encode
	}
	out := map[string]any{"KeyId": in.KeyID, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		out["CiphertextBlob"] = k.keys.find(in.KeyID).Seal(nil, nil, in.Plaintext, context)
	case "TrentService.Decrypt":
		plain, err := k.keys.find(in.KeyID).Open(nil, nil, in.Ciphertext, context)
		if err != nil {
			RefuseKMS(w, http.StatusBadRequest, "InvalidCiphertextException")
			return
		}
		out["Plaintext"] = plain
	default:
		RefuseKMS(w, http.StatusBadRequest, "UnknownOperationException")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out)
}
