package iamclient

import (
	"context"
	"fmt"
	"net/url"
)

// User is a user.
type User struct {
	Path       string `json:",omitempty"`
	UserName   string `json:",omitempty"`
	UserId     string //nolint:revive // as the API spells it
	Arn        string
	CreateDate string
}

// Key is an access key. Its secret is known only when it is made, and is
// marked as what it is nowhere: it is there to be printed.
type Key struct {
	UserName        string `json:",omitempty"`
	AccessKeyId     string //nolint:revive // as the API spells it
	Status          string
	SecretAccessKey string `json:",omitempty"`
	CreateDate      string
}

// Policy is an inline policy of a user.
type Policy struct {
	UserName, PolicyName, PolicyDocument string
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, name, path string) (User, error) {
	var out struct{ CreateUserResult struct{ User User } }
	err := c.call(ctx, "CreateUser", &out, "UserName", name, "Path", path)
	return out.CreateUserResult.User, err
}

// Users returns all users.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	all := []User{}
	err := pages(func(marker string) (string, error) {
		var out struct {
			ListUsersResult struct {
				Users struct {
					Member []User `xml:"member"`
				}
				Marker string
			}
		}
		err := c.call(ctx, "ListUsers", &out, "Marker", marker)
		all = append(all, out.ListUsersResult.Users.Member...)
		return out.ListUsersResult.Marker, err
	})
	return all, err
}

// DeleteUser removes a user that has no keys, policies or groups.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	return c.call(ctx, "DeleteUser", nil, "UserName", name)
}

// CreateKey makes an access key for a user; "" is whoever asks.
func (c *Client) CreateKey(ctx context.Context, user string) (Key, error) {
	var out struct{ CreateAccessKeyResult struct{ AccessKey Key } }
	err := c.call(ctx, "CreateAccessKey", &out, "UserName", user)
	return out.CreateAccessKeyResult.AccessKey, err
}

// Keys returns the access keys of a user; "" is whoever asks.
func (c *Client) Keys(ctx context.Context, user string) ([]Key, error) {
	all := []Key{}
	err := pages(func(marker string) (string, error) {
		var out struct {
			ListAccessKeysResult struct {
				AccessKeyMetadata struct {
					Member []Key `xml:"member"`
				}
				Marker string
			}
		}
		err := c.call(ctx, "ListAccessKeys", &out, "UserName", user, "Marker", marker)
		all = append(all, out.ListAccessKeysResult.AccessKeyMetadata.Member...)
		return out.ListAccessKeysResult.Marker, err
	})
	return all, err
}

// SetKeyActive lets a key work or not.
func (c *Client) SetKeyActive(ctx context.Context, user, keyID string, active bool) error {
	status := "Inactive"
	if active {
		status = "Active"
	}
	return c.call(ctx, "UpdateAccessKey", nil, "UserName", user, "AccessKeyId", keyID, "Status", status)
}

// DeleteKey removes a key.
func (c *Client) DeleteKey(ctx context.Context, user, keyID string) error {
	return c.call(ctx, "DeleteAccessKey", nil, "UserName", user, "AccessKeyId", keyID)
}

// PutPolicy gives a user an inline policy, or replaces it.
func (c *Client) PutPolicy(ctx context.Context, p Policy) error {
	return c.call(ctx, "PutUserPolicy", nil, "UserName", p.UserName, "PolicyName", p.PolicyName, "PolicyDocument", p.PolicyDocument)
}

// Policy returns an inline policy, its text byte for byte as it was put.
func (c *Client) Policy(ctx context.Context, user, name string) (Policy, error) {
	var out struct{ GetUserPolicyResult Policy }
	if err := c.call(ctx, "GetUserPolicy", &out, "UserName", user, "PolicyName", name); err != nil {
		return Policy{}, err
	}
	p := out.GetUserPolicyResult
	text, err := url.PathUnescape(p.PolicyDocument)
	if err != nil {
		return Policy{}, fmt.Errorf("the text of the policy is not percent-encoded: %w", err)
	}
	p.PolicyDocument = text
	return p, nil
}

// Policies returns the names of a user's inline policies.
func (c *Client) Policies(ctx context.Context, user string) ([]string, error) {
	all := []string{}
	err := pages(func(marker string) (string, error) {
		var out struct {
			ListUserPoliciesResult struct {
				PolicyNames struct {
					Member []string `xml:"member"`
				}
				Marker string
			}
		}
		err := c.call(ctx, "ListUserPolicies", &out, "UserName", user, "Marker", marker)
		all = append(all, out.ListUserPoliciesResult.PolicyNames.Member...)
		return out.ListUserPoliciesResult.Marker, err
	})
	return all, err
}

// DeletePolicy removes an inline policy.
func (c *Client) DeletePolicy(ctx context.Context, user, name string) error {
	return c.call(ctx, "DeleteUserPolicy", nil, "UserName", user, "PolicyName", name)
}

// RevokeSessions ends all sessions of a role that have begun, and returns the
// instant before which they began.
func (c *Client) RevokeSessions(ctx context.Context, role string) (before string, err error) {
	var out struct{ RevokeRoleSessionsResult struct{ RevokeBefore string } }
	err = c.call(ctx, "RevokeRoleSessions", &out, "RoleName", role)
	return out.RevokeRoleSessionsResult.RevokeBefore, err
}
