// Package iamclient is the tests' own IAM client, by the same rules as
// vaultclient: small, exact, one connection, no retries. It must not import the
// server's packages.
package iamclient

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"

	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

const version = "2010-05-08"

// Client speaks to one server over one connection. It is used by one goroutine
// at a time.
type Client struct{ vaultclient.Client }

// New makes a client that signs for IAM with a key.
func New(addr, keyID, secret, region string) *Client {
	return &Client{vaultclient.Client{
		Addr: addr, Credentials: &wire.Credentials{KeyID: keyID, Secret: secret, Region: region, Service: "iam"},
	}}
}

// Key is an access key; Secret is known only of one just made.
type Key struct {
	AccessKeyId     string
	SecretAccessKey string
	Status          string // Active or Inactive
}

// call runs an action with pairs of parameters and decodes its answer into out,
// unless that is nil. A refusal is a *vaultclient.Refused.
func (c *Client) call(ctx context.Context, out any, action string, params ...string) error {
	form := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i+1 < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	r := &wire.Request{Method: "POST", Target: "/", Body: [][]byte{[]byte(form.Encode())}}
	r.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	resp, err := c.Do(ctx, r, nil)
	if err != nil {
		return err
	}
	if resp.Status != 200 {
		var e struct {
			Error struct{ Type, Code, Message string }
		}
		if err := xml.Unmarshal(resp.Body, &e); err != nil {
			return fmt.Errorf("status %d with a body that is not XML: %q", resp.Status, resp.Body)
		}
		return &vaultclient.Refused{Status: resp.Status, Code: e.Error.Code, Message: e.Error.Message, Type: e.Error.Type}
	}
	if out == nil {
		return nil
	}
	return xml.Unmarshal(resp.Body, out)
}

// Action is the action a request asks for, "" if it is none of IAM.
func Action(r *wire.Request) string {
	if r.Target != "/" || len(r.Body) != 1 {
		return ""
	}
	form, err := url.ParseQuery(string(r.Body[0]))
	if err != nil {
		return ""
	}
	return form.Get("Action")
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, name string) error {
	return c.call(ctx, nil, "CreateUser", "UserName", name)
}

// GetUser asks for a user; that there is none is a refusal NoSuchEntity.
func (c *Client) GetUser(ctx context.Context, name string) error {
	return c.call(ctx, nil, "GetUser", "UserName", name)
}

// DeleteUser removes a user without keys and policies.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	return c.call(ctx, nil, "DeleteUser", "UserName", name)
}

// PutUserPolicy sets an inline policy of a user.
func (c *Client) PutUserPolicy(ctx context.Context, name, policy, text string) error {
	return c.call(ctx, nil, "PutUserPolicy", "UserName", name, "PolicyName", policy, "PolicyDocument", text)
}

// DeleteUserPolicy removes an inline policy of a user.
func (c *Client) DeleteUserPolicy(ctx context.Context, name, policy string) error {
	return c.call(ctx, nil, "DeleteUserPolicy", "UserName", name, "PolicyName", policy)
}

// UserPolicy reads the text of an inline policy, which comes percent-encoded.
func (c *Client) UserPolicy(ctx context.Context, name, policy string) (string, error) {
	var out struct {
		Document string `xml:"GetUserPolicyResult>PolicyDocument"`
	}
	if err := c.call(ctx, &out, "GetUserPolicy", "UserName", name, "PolicyName", policy); err != nil {
		return "", err
	}
	return url.PathUnescape(out.Document)
}

// CreateAccessKey makes a key for a user.
func (c *Client) CreateAccessKey(ctx context.Context, name string) (Key, error) {
	var out struct {
		Key Key `xml:"CreateAccessKeyResult>AccessKey"`
	}
	err := c.call(ctx, &out, "CreateAccessKey", "UserName", name)
	return out.Key, err
}

// AccessKeys lists the keys of a user, which are few.
func (c *Client) AccessKeys(ctx context.Context, name string) ([]Key, error) {
	var out struct {
		Keys []Key `xml:"ListAccessKeysResult>AccessKeyMetadata>member"`
	}
	err := c.call(ctx, &out, "ListAccessKeys", "UserName", name)
	return out.Keys, err
}

// UpdateAccessKey makes a key Active or Inactive.
func (c *Client) UpdateAccessKey(ctx context.Context, name, keyID, status string) error {
	return c.call(ctx, nil, "UpdateAccessKey", "UserName", name, "AccessKeyId", keyID, "Status", status)
}

// DeleteAccessKey removes a key.
func (c *Client) DeleteAccessKey(ctx context.Context, name, keyID string) error {
	return c.call(ctx, nil, "DeleteAccessKey", "UserName", name, "AccessKeyId", keyID)
}
