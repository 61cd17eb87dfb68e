// Package iamclient asks a server for operations on users, keys, policies and
// roles by the same IAM API that every other client uses.
//
// It knows the query protocol, its XML and how to sign. It must not know files,
// flags or what the operations mean.
package iamclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"moraine/internal/sigv4"
)

const (
	version = "2010-05-08"
	service = "iam"
	region  = "us-east-1" // accepted by every server, whichever it serves

	answerMax  = 4 << 20 // bytes of one answer
	pagesMax   = 1000    // of one list
	timeoutMax = 30 * time.Second
)

// Config is what a Client is made of.
type Config struct {
	Endpoint string           // required: http://host:port
	Key      sigv4.Key        // required
	Now      func() time.Time // zero: time.Now
	HTTP     *http.Client     // zero: one that gives up after thirty seconds and follows no redirect
}

// Client asks one server as one principal. It is safe for concurrent use.
type Client struct{ cfg Config }

// New assembles a Client and touches nothing.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("the endpoint %q is not of the form http://host:port", cfg.Endpoint)
	}
	cfg.Endpoint = u.Scheme + "://" + u.Host + "/"
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{
			Timeout:       timeoutMax,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &Client{cfg}, nil
}

// Error is the refusal of an operation.
type Error struct {
	Status        int
	Code, Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// call asks for one operation. Parameters are pairs of names and values; those
// without a value are left out. Out is a pointer to what the answer is
// decoded into, nil if nothing in it matters.
func (c *Client) call(ctx context.Context, action string, out any, params ...string) error {
	form := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i+1 < len(params); i += 2 {
		if params[i+1] != "" {
			form.Set(params[i], params[i+1])
		}
	}
	body := form.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.Endpoint, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("User-Agent", "moraine")
	sum := sha256.Sum256([]byte(body))
	if err := sigv4.Sign(r, c.cfg.Key, region, service, c.cfg.Now(), hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	resp, err := c.cfg.HTTP.Do(r)
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // the rest of its text is the endpoint
	}
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", c.cfg.Endpoint, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer of %s: %w", c.cfg.Endpoint, err)
	case len(text) > answerMax:
		return fmt.Errorf("the answer of %s is longer than %d bytes", c.cfg.Endpoint, answerMax)
	case resp.StatusCode != http.StatusOK:
		return c.refusal(resp.StatusCode, text)
	}
	root := struct{ XMLName xml.Name }{}
	if xml.Unmarshal(text, &root) != nil || root.XMLName.Local != action+"Response" {
		return c.stranger(resp.StatusCode)
	}
	if out == nil {
		return nil
	}
	if err := xml.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.cfg.Endpoint, err)
	}
	return nil
}

// refusal reads an error.
func (c *Client) refusal(status int, text []byte) error {
	var in struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Error   struct{ Code, Message string }
	}
	if xml.Unmarshal(text, &in) != nil || in.Error.Code == "" {
		return c.stranger(status)
	}
	return &Error{status, in.Error.Code, in.Error.Message}
}

func (c *Client) stranger(status int) error {
	return fmt.Errorf("%s answers with status %d and not as IAM does; is it the address of a moraine server?", c.cfg.Endpoint, status)
}

// pages asks for all pages of a list. Each gets the marker and returns the
// next one.
func pages(fn func(marker string) (next string, err error)) error {
	marker := ""
	for range pagesMax {
		next, err := fn(marker)
		if err != nil || next == "" {
			return err
		}
		marker = next
	}
	return fmt.Errorf("the list has more than %d pages", pagesMax)
}
