package audit

import (
	"crypto/tls"
	"errors"
	"strings"

	"moraine/internal/access"
	"moraine/internal/policy"
)

// IdentityOf describes a principal that used the key (access-control §8.2).
func IdentityOf(p *access.Principal, keyID string) Identity {
	id := Identity{
		Type: "IAMUser", PrincipalID: p.ID, ARN: p.ARN, AccountID: string(p.Account), AccessKeyID: keyID,
	}
	switch {
	case p.Root:
		id.Type, id.PrincipalID = "Root", string(p.Account)
	case p.RoleID != "":
		id.Type = "AssumedRole"
	default:
		id.UserName = lastPart(p.ARN)
	}
	if !p.Issued.IsZero() {
		id.Session = &Session{Created: p.Issued}
		if p.RoleID != "" {
			id.Session.Role = Issuer{PrincipalID: p.RoleID, ARN: p.RoleARN, AccountID: string(p.Account), UserName: lastPart(p.RoleARN)}
		}
	}
	return id
}

// Unknown describes a caller that named a key nobody has, or none. What does
// not look like a key id is left out: it may be a secret in the wrong place.
func Unknown(keyID string) Identity {
	id := Identity{Type: "Unknown"}
	if isKeyID(keyID) {
		id.AccessKeyID = keyID
	}
	return id
}

// isKeyID reports whether s is 16 to 128 capital letters and digits, as every
// key id is (access-control §1.2). Secret keys have small letters, too.
func isKeyID(s string) bool {
	return len(s) >= 16 && len(s) <= 128 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// Explain adds to r which rule and which statement led to err, if it is a
// refusal by policies.
func Explain(r *Record, err error) {
	var refusal *access.Refusal
	if !errors.As(err, &refusal) {
		return
	}
	d, details := &refusal.Decision, &r.AdditionalEventData
	details.Text("decision", "DENY")
	details.Text("reason", d.Reason.String())
	if len(d.Statements) == 0 {
		return
	}
	m := d.Statements[0] // one is enough to deny
	if m.Sid != "" {
		details.Text("matchedSid", m.Sid)
	}
	details.Text("policySource", Source(&m))
}

// Source names the policy of a statement: its kind, and its name if that says
// more.
func Source(m *policy.Match) string {
	kind := m.Kind.String()
	if m.Policy == "" || m.Policy == kind {
		return kind
	}
	return kind + " " + m.Policy
}

// TLSOf describes a connection; zero without TLS.
func TLSOf(state *tls.ConnectionState, host string) TLS {
	if state == nil {
		return TLS{}
	}
	return TLS{
		Version: strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1),
		Cipher:  tls.CipherSuiteName(state.CipherSuite), Host: cut(host, messageMax),
	}
}
