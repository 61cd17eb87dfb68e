// Package adminclient asks a running server through its admin listener, as the
// operator's commands do.
//
// It knows the paths and the JSON of that listener. It must not know files,
// flags or what the answers mean.
package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"moraine/internal/adminapi"
)

const (
	answerMax  = 16 << 20 // bytes; 10,000 failed pieces fit
	timeoutMax = 30 * time.Second
	changeMax  = 5 * time.Minute
)

// Client asks one server. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New assembles a Client for the server whose admin listener has an address,
// host:port, and touches nothing.
func New(address string) (*Client, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" || port == "0" {
		return nil, fmt.Errorf("%q is not an address at which an admin listener can be asked; write it as in 127.0.0.1:8081", address)
	}
	// A server that listens on all addresses of the machine does on this one.
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return &Client{
		base: "http://" + net.JoinHostPort(host, port),
		http: &http.Client{
			// No proxy: an operator talks to the machine that was named.
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Clock asks how the clock stands.
func (c *Client) Clock(ctx context.Context) (adminapi.ClockReply, error) {
	var out adminapi.ClockReply
	return out, c.ask(ctx, http.MethodGet, adminapi.ClockPath, nil, &out)
}

// ConfirmClock confirms the jump with a name, and returns how the clock stands
// then.
func (c *Client) ConfirmClock(ctx context.Context, name time.Time) (adminapi.ClockReply, error) {
	var out adminapi.ClockReply
	return out, c.ask(ctx, http.MethodPost, adminapi.ConfirmClockPath, adminapi.Confirmation{Jump: &name}, &out)
}

// Probe asks as a probe does, at adminapi.LivePath or ReadyPath, and returns
// whether the answer is yes, and its text.
func (c *Client) Probe(ctx context.Context, path string) (yes bool, text string, err error) {
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return false, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	switch {
	case err != nil:
		return false, "", fmt.Errorf("read the answer of %s: %w", c.base, err)
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable:
		return false, "", c.stranger(resp)
	}
	return resp.StatusCode == http.StatusOK, string(body), nil
}

// Scrub asks how far the reading of everything has come.
func (c *Client) Scrub(ctx context.Context) (adminapi.ScrubReply, error) {
	var out adminapi.ScrubReply
	return out, c.ask(ctx, http.MethodGet, adminapi.ScrubPath, nil, &out)
}

// StartScrub has a pass begin now.
func (c *Client) StartScrub(ctx context.Context) (adminapi.ScrubReply, error) {
	var out adminapi.ScrubReply
	return out, c.ask(ctx, http.MethodPost, adminapi.ScrubStartPath, struct{}{}, &out)
}

// ScrubVault has the archives of a vault read, however long that takes.
func (c *Client) ScrubVault(ctx context.Context, q adminapi.VaultQuery) (adminapi.ScrubPass, error) {
	var out adminapi.ScrubPass
	return out, c.askWithin(ctx, http.MethodPost, adminapi.ScrubVaultPath, q, &out)
}

// FailedScrub lists what is quarantined.
func (c *Client) FailedScrub(ctx context.Context) (adminapi.FailedReply, error) {
	var out adminapi.FailedReply
	return out, c.ask(ctx, http.MethodGet, adminapi.ScrubFailedPath, nil, &out)
}

// ReleaseScrub has an archive or a blob that failed checked again, however long
// that takes.
func (c *Client) ReleaseScrub(ctx context.Context, name string) (adminapi.ReleaseReply, error) {
	var out adminapi.ReleaseReply
	return out, c.askWithin(ctx, http.MethodPost, adminapi.ScrubReleasePath, adminapi.Named{Name: name}, &out)
}

// DiscardScrub has the bytes of a deleted archive that failed given up.
func (c *Client) DiscardScrub(ctx context.Context, name string) (adminapi.DiscardReply, error) {
	var out adminapi.DiscardReply
	return out, c.ask(ctx, http.MethodPost, adminapi.ScrubDiscardPath, adminapi.Named{Name: name}, &out)
}

// Migrate has bytes copied to another house, however long that takes.
func (c *Client) Migrate(ctx context.Context, o adminapi.MigrateOrder) (adminapi.MigrateReply, error) {
	var out adminapi.MigrateReply
	return out, c.askWithin(ctx, http.MethodPost, adminapi.MigratePath, o, &out)
}

// Compact asks how the emptying of packs stands.
func (c *Client) Compact(ctx context.Context) (adminapi.CompactReply, error) {
	var out adminapi.CompactReply
	return out, c.ask(ctx, http.MethodGet, adminapi.CompactPath, nil, &out)
}

// StartCompact has a pass begin now, or after the one under way.
func (c *Client) StartCompact(ctx context.Context) (adminapi.CompactReply, error) {
	var out adminapi.CompactReply
	return out, c.ask(ctx, http.MethodPost, adminapi.CompactStartPath, struct{}{}, &out)
}

// Encryption asks how the keys of encrypted archives stand.
func (c *Client) Encryption(ctx context.Context) (adminapi.EncryptionReply, error) {
	var out adminapi.EncryptionReply
	return out, c.ask(ctx, http.MethodGet, adminapi.EncryptionPath, nil, &out)
}

// RotateKey makes a new key current, and returns how the keys stand then.
func (c *Client) RotateKey(ctx context.Context) (adminapi.EncryptionReply, error) {
	return c.changeKeys(ctx, adminapi.RotateKeyPath)
}

// RewrapKeys has all keys wrapped by the master of now, and returns how they
// stand then.
func (c *Client) RewrapKeys(ctx context.Context) (adminapi.EncryptionReply, error) {
	return c.changeKeys(ctx, adminapi.RewrapKeysPath)
}

func (c *Client) changeKeys(ctx context.Context, path string) (adminapi.EncryptionReply, error) {
	var out adminapi.EncryptionReply
	// The server asks a master about each key, which takes as long as it takes.
	ctx, cancel := context.WithTimeout(ctx, changeMax)
	defer cancel()
	return out, c.askWithin(ctx, http.MethodPost, path, struct{}{}, &out)
}

// ask sends one request and waits for a quick answer.
func (c *Client) ask(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, timeoutMax)
	defer cancel()
	return c.askWithin(ctx, method, path, in, out)
}

// askWithin sends one request and decodes the answer into out. A refusal is an error
// with the sentence of the server.
func (c *Client) askWithin(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.refusal(resp)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if json.Unmarshal(text, out) != nil {
		return c.stranger(resp)
	}
	return nil
}

// send sends one request and returns the answer.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(r)
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // the rest of its text is the address
	}
	if err != nil {
		return nil, fmt.Errorf("the admin listener at %s does not answer: %w", c.base, err)
	}
	return resp, nil
}

// refusal is the error that an answer is.
func (c *Client) refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &refusal) == nil && refusal.Error != "" {
		return errors.New(refusal.Error)
	}
	return c.stranger(resp)
}

// stranger is the error for an answer that no admin listener gives.
func (c *Client) stranger(resp *http.Response) error {
	return fmt.Errorf("%s answers with status %d and not as an admin listener does; is it the address of admin.listen of this version?", c.base, resp.StatusCode)
}
