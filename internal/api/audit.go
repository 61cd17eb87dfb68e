package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/audit"
	"moraine/internal/peer"
	"moraine/internal/sigv4"
)

// lockIDShown is how much of a lock id is recorded: enough to tell two apart,
// not enough to complete a lock (access-control §8.1).
const lockIDShown = 4

// conclude records a call that succeeded, before its reply; elements is what
// the reply says. After an error the call must not be reported as a success,
// although what it did is done: the client cannot know, as after a connection
// that broke.
func (c *call) conclude(elements map[string]any) error {
	if c.recorded {
		return nil
	}
	r := c.newRecord()
	if r == nil {
		return nil
	}
	if !r.ReadOnly && len(elements) > 0 {
		r.ResponseElements = elements
	}
	if err := c.server.cfg.Audit.Append(r, c.owner()); err != nil {
		return moraine.Wrap(err, moraine.Unavailable, internalMessage)
	}
	return nil
}

// concludeRefused records a call that failed, before its reply.
func (c *call) concludeRefused(e *wireError, err error) {
	if c.recorded {
		return
	}
	r := c.newRecord()
	if r == nil {
		return
	}
	r.ErrorCode, r.ErrorMessage = e.Code, c.recordable(e.Message)
	if moraine.IsKind(err, moraine.Denied) {
		r.ErrorCode = "AccessDenied"
	}
	audit.Explain(r.AdditionalEventData, err)
	owner := c.owner()
	var refusal *access.Refusal
	if moraine.IsKind(err, moraine.Denied) && !errors.As(err, &refusal) {
		owner = "" // the account segment was refused, so it names nobody
	}
	if err := c.server.cfg.Audit.Append(r, owner); err != nil {
		// The reply is a refusal anyway.
		c.server.cfg.Log.ErrorContext(c.r.Context(), "a refusal was not recorded", "id", c.event.RequestID, slog.Any("err", err))
	}
}

// settle records a call that has no record yet: GetJobOutput, whose record
// tells how much was sent, and calls that ended in a panic.
func (c *call) settle() {
	if c.recorded {
		return
	}
	if c.event.Code != "" || c.w.status == 0 {
		code := c.event.Code
		if code == "" {
			code = wireKinds[moraine.Internal].code
		}
		c.concludeRefused(&wireError{Code: code, Message: internalMessage}, c.event.Err)
		return
	}
	if err := c.conclude(nil); err != nil {
		// The reply is out.
		c.server.cfg.Log.ErrorContext(c.r.Context(), "a call was not recorded", "id", c.event.RequestID, slog.Any("err", err))
	}
}

// owner is the account that the path names, once a request got so far that it
// matters, else "".
func (c *call) owner() string {
	if !c.handled || c.target.account == string(c.who.Principal.Account) || !isAccountID(c.target.account) {
		return ""
	}
	return c.target.account
}

func isAccountID(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// newRecord begins the one record of a call; nil if it gets none.
func (c *call) newRecord() *audit.Record {
	log := c.server.cfg.Audit
	if log == nil {
		return nil
	}
	c.recorded = true
	source := c.from.Source
	known := c.who.Principal.ARN != ""
	if !known && !log.Admit(peer.Network(source)) {
		return nil
	}
	details := map[string]any{"bytesIn": c.bytesIn(), "bytesOut": c.w.bytes, "durationMs": time.Since(c.start).Milliseconds()}
	r := &audit.Record{
		EventSource: "glacier.amazonaws.com", EventName: "Unknown", APIVersion: apiVersion,
		SourceIPAddress: source, UserAgent: c.r.UserAgent(), RequestID: c.event.RequestID,
		AdditionalEventData: details, TLSDetails: audit.TLSOf(c.r.TLS, c.r.Host),
	}
	if c.target.op != nil {
		r.RequestParameters = c.parameters()
		if c.target.op.name != "" {
			r.EventName = c.target.op.name
		}
	}
	r.ReadOnly = audit.ReadOnly(r.EventName)
	if known {
		p := &c.who.Principal
		r.UserIdentity, r.Region = audit.IdentityOf(p, c.auth.KeyID), string(c.who.Region)
		r.RecipientAccountID, r.Resources = string(p.Account), c.resources()
		details["signedHeaders"] = strings.Join(c.auth.SignedHeaders, ";")
		return r
	}
	details["authenticated"] = false
	keyID := sigv4.ClaimedKeyID(c.r)
	r.UserIdentity = audit.Unknown(keyID)
	if claimed := c.server.cfg.Claimed; claimed != nil && r.UserIdentity.AccessKeyID != "" {
		if p, ok := claimed(c.r.Context(), keyID); ok {
			r.UserIdentity, r.RecipientAccountID = audit.IdentityOf(&p, keyID), string(p.Account)
		}
	}
	return r
}

// resources names the vault of a call.
func (c *call) resources() []audit.Resource {
	owner := c.target.account
	if owner == "-" {
		owner = string(c.who.Principal.Account)
	}
	if !isAccountID(owner) || !moraine.ValidVaultName(c.target.vault) {
		return nil
	}
	return []audit.Resource{{
		ARN:       moraine.VaultARN(c.who.Region, moraine.AccountID(owner), c.target.vault),
		AccountID: owner, Type: "AWS::Glacier::Vault",
	}}
}

// ids names the last variable segment of a path by the segment before it.
var ids = map[string]string{
	"archives": "archiveId", "multipart-uploads": "uploadId", "jobs": "jobId", "lock-policy": "lockId",
}

// parameterHeaders are the headers that are parameters of operations.
var parameterHeaders = map[string]string{
	"X-Amz-Sha256-Tree-Hash": "checksum", "X-Amz-Archive-Description": "archiveDescription",
	"X-Amz-Part-Size": "partSize", "X-Amz-Archive-Size": "archiveSize", "Range": "range", "Content-Range": "range",
}

// parameterQueries are the members of the query that are parameters.
var parameterQueries = [...]string{"limit", "marker", "completed", "statuscode"}

// bodyMember is where a record holds the body of an operation that has but one
// parameter in it.
var bodyMember = map[string]string{
	"InitiateJob": "jobParameters", "SetVaultNotifications": "vaultNotificationConfig",
}

// parameters is what the request asks for, under the names of the API.
func (c *call) parameters() map[string]any {
	t := &c.target
	p := map[string]any{"accountId": t.account}
	if t.vault != "" {
		p["vaultName"] = t.vault
	}
	if t.id != "" {
		name := ids[strings.Split(t.op.path, "/")[2]]
		p[name] = t.id
		if name == "lockId" {
			p[name] = lockID(t.id)
		}
	}
	for header, name := range parameterHeaders {
		if value := c.r.Header.Get(header); value != "" {
			p[name] = value
		}
	}
	for _, name := range parameterQueries {
		if value := c.query.Get(name); value != "" {
			p[name] = value
		}
	}
	if c.auth == nil || len(c.auth.Body) == 0 {
		return p
	}
	var body map[string]any
	if json.Unmarshal(c.auth.Body, &body) != nil {
		return p
	}
	body, _ = camelCase(body, "").(map[string]any)
	if member := bodyMember[t.op.name]; member != "" {
		p[member] = body
		return p
	}
	for name, value := range body {
		if _, taken := p[name]; !taken {
			p[name] = value
		}
	}
	return p
}

// camelCase gives members names that begin with a small letter; the names of
// tags stay.
func camelCase(v any, parent string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			if parent != "Tags" {
				out[lowerFirst(name)] = camelCase(item, name)
			} else {
				out[name] = item
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = camelCase(v[i], "")
		}
	}
	return v
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}

// responseHeaders are the headers of replies that are members of their output.
var responseHeaders = map[string]string{
	"x-amz-archive-id": "archiveId", "x-amz-sha256-tree-hash": "checksum", "x-amz-multipart-upload-id": "uploadId",
	"x-amz-job-id": "jobId", "x-amz-job-output-path": "jobOutputPath", "x-amz-capacity-id": "capacityId", "x-amz-lock-id": "lockId",
}

// elements is what a reply without a body says in its headers.
func elements(location string, headers []string) map[string]any {
	out := make(map[string]any, 1+len(headers)/2)
	if location != "" {
		out["location"] = location
	}
	for i := 0; i+1 < len(headers); i += 2 {
		name := responseHeaders[headers[i]]
		switch name {
		case "":
		case "lockId":
			out[name] = lockID(headers[i+1])
		default:
			out[name] = headers[i+1]
		}
	}
	return out
}

func lockID(id string) string { return id[:min(len(id), lockIDShown)] }

// recordable takes out of a message what no record may hold: the canonical
// request, which auth.debug_signature adds with all signed headers, and lock
// ids.
func (c *call) recordable(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	if id := c.target.id; len(id) > lockIDShown && strings.Contains(c.target.op.name, "Lock") {
		message = strings.ReplaceAll(message, id, lockID(id)+"...")
	}
	return message
}
