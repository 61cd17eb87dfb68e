// Package transit is a master of wrapping keys that is a key of the transit
// engine of HashiCorp Vault, or of whatever speaks its API.
//
// It knows the HTTP API of that engine. It must not know when keys are made, nor
// what they wrap.
package transit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"moraine"
)

// Config is what a Master is made of.
type Config struct {
	Address   string // required: https://host:port
	Mount     string // required: path of the engine, as in transit
	Key       string // required: name of the key
	Namespace string // "" for none
	// Token returns the token to ask with. It is called for each request, since
	// whoever keeps it may renew it. Required.
	Token  func() (string, error)
	Client *http.Client // required; must follow no redirection
}

// Master is a blobkeys.Master.
type Master struct{ cfg Config }

// New assembles a Master and touches nothing.
func New(cfg Config) *Master { return &Master{cfg} }

// Name names engine and key. The address is no part of it: a service may move.
func (m *Master) Name() string {
	name := m.cfg.Mount + "/" + m.cfg.Key
	if m.cfg.Namespace != "" {
		name = m.cfg.Namespace + "/" + name
	}
	return "vault:" + name
}

// request and answer are the bodies of the engine's operations. Bytes are in
// base64.
type request struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Associated []byte `json:"associated_data"`
}

type answer struct {
	Data struct {
		Plaintext  string `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
	} `json:"data"`
}

// associated binds a wrapped key to its id. Format: never change.
func associated(id string) []byte { return []byte("moraine blob key:" + id) }

// prefix begins every ciphertext of the engine.
const prefix = "vault:"

// Wrap implements blobkeys.Master.
func (m *Master) Wrap(ctx context.Context, id string, key []byte) ([]byte, error) {
	a, err := m.ask(ctx, "encrypt", request{Plaintext: key, Associated: associated(id)})
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(a.Data.Ciphertext, prefix) {
		return nil, moraine.Errorf(moraine.Corrupt, "Vault does not answer with a ciphertext")
	}
	return []byte(a.Data.Ciphertext), nil
}

// Unwrap implements blobkeys.Master.
func (m *Master) Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error) {
	if !bytes.HasPrefix(wrapped, []byte(prefix)) {
		return nil, moraine.Errorf(moraine.Corrupt, "what is wrapped is no ciphertext of Vault")
	}
	a, err := m.ask(ctx, "decrypt", request{Ciphertext: string(wrapped), Associated: associated(id)})
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(a.Data.Plaintext)
	if err != nil {
		return nil, moraine.Errorf(moraine.Corrupt, "Vault does not answer with a plaintext") // the cause may show a part of it
	}
	return key, nil
}

// answerMax bounds an answer, in bytes.
const answerMax = 64 << 10

// ask sends one request to the engine.
func (m *Master) ask(ctx context.Context, operation string, in request) (answer, error) {
	var out answer
	token, err := m.cfg.Token()
	if err != nil {
		return out, moraine.Wrap(err, moraine.Unavailable, "the token for Vault cannot be read")
	}
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	target := strings.TrimSuffix(m.cfg.Address, "/") + "/v1/" + m.cfg.Mount + "/" + operation + "/" + url.PathEscape(m.cfg.Key)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Request", "true")
	r.Header.Set("X-Vault-Token", token)
	if m.cfg.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", m.cfg.Namespace)
	}
	resp, err := m.cfg.Client.Do(r)
	if err != nil {
		return out, moraine.Wrap(err, moraine.Unavailable, "Vault does not answer")
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	switch {
	case err != nil:
		return out, moraine.Wrap(err, moraine.Unavailable, "the answer of Vault breaks off")
	case len(text) > answerMax:
		return out, moraine.Errorf(moraine.Corrupt, "Vault answers with more than %d bytes", answerMax)
	case resp.StatusCode != http.StatusOK:
		return out, refusal(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return out, moraine.Errorf(moraine.Corrupt, "Vault answers with something that is not JSON")
	}
	return out, nil
}

// refusal turns an answer that is none into an error.
func refusal(status int, text []byte) error {
	var said struct {
		Errors []string `json:"errors"`
	}
	cause := fmt.Errorf("status %d", status)
	if json.Unmarshal(text, &said) == nil && len(said.Errors) > 0 {
		cause = errors.New(strings.Join(said.Errors, "; "))
	}
	switch {
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return moraine.Wrap(cause, moraine.Denied, "Vault refuses: the token is not valid, or may not use the key")
	case status == http.StatusNotFound:
		return moraine.Wrap(cause, moraine.NotFound, "Vault has no such engine or key")
	case status == http.StatusBadRequest:
		return moraine.Wrap(cause, moraine.Corrupt, "Vault does not accept what it is given")
	case status >= 300 && status < 400:
		return moraine.Wrap(cause, moraine.Unavailable, "Vault sends elsewhere; name the address of the active node, or of what leads to it")
	}
	// A node that is sealed, starting, on standby, overloaded or broken.
	return moraine.Wrap(cause, moraine.Unavailable, "Vault is not ready to answer")
}
