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
	"moraine/internal/sigv4"
)

// lockIDShown is how much of a lock id is recorded: enough to tell two apart,
// not enough to complete a lock (access-control §8.1).
const lockIDShown = 4

// conclude records a call that succeeded, before its reply, which says a
// location, if there is one, and what is in headers, pairs of names and values.
// After an error the call must not be reported as a success, although what it
// did is done: the client cannot know, as after a connection that broke.
func (c *call) conclude(location string, headers ...string) error {
	if c.recorded {
		return nil
	}
	r := c.newRecord()
	if r == nil {
		return nil
	}
	if !r.ReadOnly {
		addElements(&r.ResponseElements, location, headers)
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
	audit.Explain(r, err)
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
	if err := c.conclude(""); err != nil {
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
	source := sourceIP(c.r.RemoteAddr)
	known := c.who.Principal.ARN != ""
	if !known && !log.Admit(source) {
		return nil
	}
	r := audit.NewRecord()
	r.EventSource, r.EventName, r.APIVersion = "glacier.amazonaws.com", "Unknown", apiVersion
	r.SourceIPAddress, r.UserAgent, r.RequestID = source, c.r.UserAgent(), c.event.RequestID
	r.TLS = audit.TLSOf(c.r.TLS, c.r.Host)
	details := &r.AdditionalEventData
	details.Number("bytesIn", c.bytesIn())
	details.Number("bytesOut", c.w.bytes)
	details.Number("durationMs", time.Since(c.start).Milliseconds())
	if c.replayed {
		details.Flag("replaySuspected", true)
	}
	if c.target.op != nil {
		c.addParameters(&r.RequestParameters)
		if c.target.op.name != "" {
			r.EventName = c.target.op.name
		}
	}
	r.ReadOnly, r.Data = audit.ReadOnly(r.EventName), dataOperations[r.EventName]
	if known {
		p := &c.who.Principal
		r.UserIdentity, r.Region = audit.IdentityOf(p, c.auth.KeyID), string(c.who.Region)
		r.RecipientAccountID, r.Resource = string(p.Account), c.resource()
		details.Text("signedHeaders", strings.Join(c.auth.SignedHeaders, ";"))
		return r
	}
	details.Flag("authenticated", false)
	keyID := sigv4.ClaimedKeyID(c.r)
	r.UserIdentity = audit.Unknown(keyID)
	if claimed := c.server.cfg.Claimed; claimed != nil && r.UserIdentity.AccessKeyID != "" {
		if p, ok := claimed(c.r.Context(), keyID); ok {
			r.UserIdentity, r.RecipientAccountID = audit.IdentityOf(&p, keyID), string(p.Account)
		}
	}
	return r
}

// dataOperations are about the bytes of an archive, a part or an output: what
// CloudTrail calls data events (access-control §8.1).
var dataOperations = map[string]bool{
	"UploadArchive": true, "DeleteArchive": true, "UploadMultipartPart": true, "GetJobOutput": true,
}

// resource names the vault of a call; zero if it is on none.
func (c *call) resource() audit.Resource {
	owner := c.target.account
	if owner == "-" {
		owner = string(c.who.Principal.Account)
	}
	if !isAccountID(owner) || !moraine.ValidVaultName(c.target.vault) {
		return audit.Resource{}
	}
	return audit.Resource{
		ARN:       moraine.VaultARN(c.who.Region, moraine.AccountID(owner), c.target.vault),
		AccountID: owner, Type: "AWS::Glacier::Vault",
	}
}

// idName names the last variable segment of a path by the segment before it.
func idName(path string) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(path, "vaults/{v}/"), "/")
	switch kind {
	case "archives":
		return "archiveId"
	case "multipart-uploads":
		return "uploadId"
	case "jobs":
		return "jobId"
	}
	return lockIDName
}

// lockIDName is the parameter and the element that is never recorded whole.
const lockIDName = "lockId"

// parameterHeaders are the headers that are parameters of operations.
var parameterHeaders = [...]struct{ header, name string }{
	{"X-Amz-Sha256-Tree-Hash", "checksum"}, {"X-Amz-Archive-Description", "archiveDescription"},
	{"X-Amz-Part-Size", "partSize"}, {"X-Amz-Archive-Size", "archiveSize"}, {"Content-Range", "range"}, {"Range", "range"},
}

// parameterQueries are the members of the query that are parameters.
var parameterQueries = [...]string{"limit", "marker", "completed", "statuscode"}

// bodyMember is where a record holds the body of an operation that has but one
// parameter in it.
var bodyMember = map[string]string{
	"InitiateJob": "jobParameters", "SetVaultNotifications": "vaultNotificationConfig",
}

// addParameters adds what the request asks for, under the names of the API.
func (c *call) addParameters(p *audit.Members) {
	t := &c.target
	p.Text("accountId", t.account)
	if t.vault != "" {
		p.Text("vaultName", t.vault)
	}
	if t.id != "" {
		name, id := idName(t.op.path), t.id
		if name == lockIDName {
			id = lockID(id)
		}
		p.Text(name, id)
	}
	for _, h := range parameterHeaders {
		if values := c.r.Header[h.header]; len(values) > 0 && values[0] != "" && !p.Has(h.name) {
			p.Text(h.name, values[0])
		}
	}
	for _, name := range parameterQueries {
		if value := c.query.Get(name); value != "" {
			p.Text(name, value)
		}
	}
	if c.auth == nil || len(c.auth.Body) == 0 {
		return
	}
	var body map[string]any
	if json.Unmarshal(c.auth.Body, &body) != nil {
		return
	}
	body, _ = camelCase(body, "").(map[string]any)
	if member := bodyMember[t.op.name]; member != "" {
		p.Tree(member, body)
		return
	}
	for name, value := range body {
		if !p.Has(name) {
			p.Tree(name, value)
		}
	}
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
	"x-amz-job-id": "jobId", "x-amz-job-output-path": "jobOutputPath", "x-amz-capacity-id": "capacityId", "x-amz-lock-id": lockIDName,
}

// addElements adds what a reply without a body says in its headers.
func addElements(e *audit.Members, location string, headers []string) {
	if location != "" {
		e.Text("location", location)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		name, value := responseHeaders[headers[i]], headers[i+1]
		if name == lockIDName {
			value = lockID(value)
		}
		if name != "" {
			e.Text(name, value)
		}
	}
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
