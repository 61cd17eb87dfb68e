package iamapi

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"moraine"
	"moraine/internal/arn"
	"moraine/internal/audit"
	"moraine/internal/sigv4"
)

// hidden stands in a record for the value of a parameter that is a secret.
const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// conclude records a call before its reply: result is what it says, e why it
// failed, nil if it did not. After an error a call that succeeded must not be
// reported as a success, although what it did is done.
func (s *Server) conclude(c *call, result any, e *wireError, err error) error {
	source := ""
	if peer, err := netip.ParseAddrPort(c.r.RemoteAddr); err == nil {
		source = peer.Addr().Unmap().WithZone("").String()
	}
	known := c.who.Principal.ARN != ""
	if s.cfg.Audit == nil || !known && !s.cfg.Audit.Admit(source) {
		return nil
	}
	r := audit.NewRecord()
	r.EventSource, r.EventName = c.event.Service+".amazonaws.com", c.event.Operation
	r.APIVersion, r.SourceIPAddress, r.UserAgent = protocols[c.event.Service].version, source, c.r.UserAgent()
	r.RequestID, r.TLS = c.event.RequestID, audit.TLSOf(c.r.TLS, c.r.Host)
	addParameters(&r.RequestParameters, c)
	details := &r.AdditionalEventData
	details.Number("bytesIn", c.event.BytesIn)
	details.Number("durationMs", time.Since(c.start).Milliseconds())
	if c.replayed {
		details.Flag("replaySuspected", true)
	}
	if r.EventName == "" {
		r.EventName = "Unknown"
	}
	r.ReadOnly = audit.ReadOnly(r.EventName)
	if known {
		p := &c.who.Principal
		r.UserIdentity, r.Region = audit.IdentityOf(p, c.auth.KeyID), c.auth.Region
		r.RecipientAccountID = string(p.Account)
		details.Text("signedHeaders", strings.Join(c.auth.SignedHeaders, ";"))
	} else {
		s.claim(c, r)
	}
	if e != nil {
		r.ErrorCode = e.code
		// auth.debug_signature adds lines with all signed headers.
		r.ErrorMessage, _, _ = strings.Cut(e.message, "\n")
		audit.Explain(r, err)
	} else if !r.ReadOnly {
		addResult(&r.ResponseElements, result)
	}
	if err := s.cfg.Audit.Append(r, roleOwner(c, r)); err != nil {
		return moraine.Wrap(err, moraine.Unavailable, internalMessage)
	}
	return nil
}

// claim describes whoever a request that was not verified says it is from.
func (s *Server) claim(c *call, r *audit.Record) {
	r.AdditionalEventData.Flag("authenticated", false)
	keyID := sigv4.ClaimedKeyID(c.r)
	r.UserIdentity = audit.Unknown(keyID)
	if s.cfg.Claimed == nil || r.UserIdentity.AccessKeyID == "" {
		return
	}
	if p, ok := s.cfg.Claimed(c.r.Context(), keyID); ok {
		r.UserIdentity, r.RecipientAccountID = audit.IdentityOf(&p, keyID), string(p.Account)
	}
}

// roleOwner is the account of a role that was assumed, else "".
func roleOwner(c *call, r *audit.Record) string {
	if r.EventName != "AssumeRole" || r.ErrorCode != "" {
		return ""
	}
	role, err := arn.Parse(c.get("RoleArn"))
	if err != nil {
		return ""
	}
	return role.Account
}

// addParameters adds what a request asks for.
func addParameters(p *audit.Members, c *call) {
	for name, values := range c.params {
		switch {
		case name == "Action", name == "Version", strings.HasPrefix(strings.ToLower(name), "x-amz-"), len(values) == 0, p.Has(lowerFirst(name)):
		case isSecret(name):
			p.Text(lowerFirst(name), hidden)
		default:
			p.Text(lowerFirst(name), values[0])
		}
	}
}

// addResult adds what a reply says, without the secrets in it.
func addResult(e *audit.Members, result any) {
	text, err := json.Marshal(result)
	if err != nil {
		return
	}
	var tree any
	if json.Unmarshal(text, &tree) != nil {
		return
	}
	members, _ := withoutSecrets(tree).(map[string]any)
	for name, value := range members {
		e.Tree(name, value)
	}
}

// withoutSecrets drops members that hold secrets and gives the others names
// that begin with a small letter.
func withoutSecrets(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			if item != nil && item != "" && !isSecret(name) {
				out[lowerFirst(name)] = withoutSecrets(item)
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = withoutSecrets(v[i])
		}
	}
	return v
}

// isSecret judges by the name of a member.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"secret", "token", "password", "assertion", "signature"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}
