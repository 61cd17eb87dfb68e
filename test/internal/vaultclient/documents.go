package vaultclient

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"moraine/test/internal/wire"
)

// Lock is a GetVaultLock reply.
type Lock struct {
	CreationDate   *string
	ExpirationDate *string
	Policy         string
	State          string
}

// NotificationConfig is what SetVaultNotifications takes and
// GetVaultNotifications gives.
type NotificationConfig struct {
	SNSTopic string
	Events   []string
}

// RetrievalRule is the one rule of a data retrieval policy.
type RetrievalRule struct {
	Strategy     string
	BytesPerHour *int64 `json:",omitempty"`
}

// CapacityUnit is one item of ListProvisionedCapacity.
type CapacityUnit struct {
	CapacityId     string
	StartDate      string
	ExpirationDate string
}

// withJSON gives a request a JSON body.
func withJSON(r *wire.Request, body any) (*wire.Request, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r.Set("Content-Type", "application/json")
	r.Body = [][]byte{text}
	return r, nil
}

// callJSON is call with a JSON body.
func (c *Client) callJSON(ctx context.Context, method, target string, body any, want int) (*wire.Response, error) {
	r, err := withJSON(request(method, target), body)
	if err != nil {
		return nil, err
	}
	return c.call(ctx, r, want)
}

// policyBody is the body that brings a policy. Package json may escape what is
// in the text; the server sees the text itself.
type policyBody struct{ Policy string }

// SetAccessPolicy gives a vault an access policy.
func (c *Client) SetAccessPolicy(ctx context.Context, vault, text string) error {
	_, err := c.callJSON(ctx, "PUT", "/-/vaults/"+vault+"/access-policy", policyBody{text}, 204)
	return err
}

// AccessPolicy reads the text of a vault's access policy.
func (c *Client) AccessPolicy(ctx context.Context, vault string) (string, error) {
	var p policyBody
	err := c.getJSON(ctx, "/-/vaults/"+vault+"/access-policy", &p)
	return p.Policy, err
}

// DeleteAccessPolicy removes a vault's access policy.
func (c *Client) DeleteAccessPolicy(ctx context.Context, vault string) error {
	_, err := c.call(ctx, request("DELETE", "/-/vaults/"+vault+"/access-policy"), 204)
	return err
}

// InitiateLock begins a vault lock and returns its id.
func (c *Client) InitiateLock(ctx context.Context, vault, text string) (string, error) {
	resp, err := c.callJSON(ctx, "POST", "/-/vaults/"+vault+"/lock-policy", policyBody{text}, 201)
	if err != nil {
		return "", err
	}
	return resp.Get("x-amz-lock-id"), nil
}

// CompleteLock makes a vault lock final.
func (c *Client) CompleteLock(ctx context.Context, vault, id string) error {
	_, err := c.call(ctx, request("POST", "/-/vaults/"+vault+"/lock-policy/"+id), 204)
	return err
}

// AbortLock withdraws a vault lock in progress.
func (c *Client) AbortLock(ctx context.Context, vault string) error {
	_, err := c.call(ctx, request("DELETE", "/-/vaults/"+vault+"/lock-policy"), 204)
	return err
}

// GetLock reads the lock of a vault.
func (c *Client) GetLock(ctx context.Context, vault string) (Lock, error) {
	var l Lock
	return l, c.getJSON(ctx, "/-/vaults/"+vault+"/lock-policy", &l)
}

// AddTags sets tags of a vault.
func (c *Client) AddTags(ctx context.Context, vault string, tags map[string]string) error {
	body := struct{ Tags map[string]string }{tags}
	_, err := c.callJSON(ctx, "POST", "/-/vaults/"+vault+"/tags?operation=add", body, 204)
	return err
}

// RemoveTags removes tags of a vault by key.
func (c *Client) RemoveTags(ctx context.Context, vault string, keys []string) error {
	body := struct{ TagKeys []string }{keys}
	_, err := c.callJSON(ctx, "POST", "/-/vaults/"+vault+"/tags?operation=remove", body, 204)
	return err
}

// Tags reads the tags of a vault.
func (c *Client) Tags(ctx context.Context, vault string) (map[string]string, error) {
	var list struct{ Tags map[string]string }
	err := c.getJSON(ctx, "/-/vaults/"+vault+"/tags", &list)
	return list.Tags, err
}

// SetNotifications gives a vault a configuration of notifications.
func (c *Client) SetNotifications(ctx context.Context, vault string, config NotificationConfig) error {
	_, err := c.callJSON(ctx, "PUT", "/-/vaults/"+vault+"/notification-configuration", config, 204)
	return err
}

// Notifications reads a vault's configuration of notifications.
func (c *Client) Notifications(ctx context.Context, vault string) (NotificationConfig, error) {
	var n NotificationConfig
	return n, c.getJSON(ctx, "/-/vaults/"+vault+"/notification-configuration", &n)
}

// DeleteNotifications removes a vault's configuration of notifications.
func (c *Client) DeleteNotifications(ctx context.Context, vault string) error {
	_, err := c.call(ctx, request("DELETE", "/-/vaults/"+vault+"/notification-configuration"), 204)
	return err
}

// retrievalPolicy is the body of the data retrieval policy's operations.
type retrievalPolicy struct {
	Policy struct{ Rules []RetrievalRule }
}

// SetRetrievalPolicy sets the data retrieval policy of the account.
func (c *Client) SetRetrievalPolicy(ctx context.Context, rule RetrievalRule) error {
	var body retrievalPolicy
	body.Policy.Rules = []RetrievalRule{rule}
	_, err := c.callJSON(ctx, "PUT", "/-/policies/data-retrieval", body, 204)
	return err
}

// RetrievalPolicy reads the data retrieval policy of the account.
func (c *Client) RetrievalPolicy(ctx context.Context) (RetrievalRule, error) {
	var body retrievalPolicy
	if err := c.getJSON(ctx, "/-/policies/data-retrieval", &body); err != nil {
		return RetrievalRule{}, err
	}
	if n := len(body.Policy.Rules); n != 1 {
		return RetrievalRule{}, fmt.Errorf("the data retrieval policy has %d rules", n)
	}
	return body.Policy.Rules[0], nil
}

// PurchaseCapacity buys a capacity unit and returns its id.
func (c *Client) PurchaseCapacity(ctx context.Context) (string, error) {
	resp, err := c.call(ctx, request("POST", "/-/provisioned-capacity"), 201)
	if err != nil {
		return "", err
	}
	return resp.Get("x-amz-capacity-id"), nil
}

// Capacity lists the capacity units of the account in the region.
func (c *Client) Capacity(ctx context.Context) ([]CapacityUnit, error) {
	var list struct{ ProvisionedCapacityList []CapacityUnit }
	err := c.getJSON(ctx, "/-/provisioned-capacity", &list)
	return list.ProvisionedCapacityList, err
}

// DescribeJobText reads a job as the server prints it.
func (c *Client) DescribeJobText(ctx context.Context, vault, id string) (string, error) {
	resp, err := c.call(ctx, request("GET", "/-/vaults/"+vault+"/jobs/"+id), 200)
	if err != nil {
		return "", err
	}
	return string(resp.Body), nil
}

// OfJob returns the vault that a request initiates a job in, and what it asks
// for; ok is false if it is another request.
func OfJob(r *wire.Request) (vault string, job JobRequest, ok bool) {
	rest, inVault := strings.CutPrefix(r.Target, "/-/vaults/")
	vault, isJob := strings.CutSuffix(rest, "/jobs")
	if r.Method != "POST" || !inVault || !isJob || len(r.Body) != 1 {
		return "", job, false
	}
	return vault, job, json.Unmarshal(r.Body[0], &job) == nil
}
