package audit

import (
	"crypto/tls"
	"errors"
	"strings"

	"moraine/internal/access"
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
		id.Session = &Session{Attributes: Attributes{CreationDate: Stamp(p.Issued), MFAAuthenticated: "false"}}
		if p.RoleID != "" {
			id.Session.Issuer = &Issuer{
				Type: "Role", PrincipalID: p.RoleID, ARN: p.RoleARN, AccountID: string(p.Account), UserName: lastPart(p.RoleARN),
			}
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

// Explain adds to details which rule and which statement led to err, if it is
// a refusal by policies.
func Explain(details map[string]any, err error) {
	var refusal *access.Refusal
	if !errors.As(err, &refusal) {
		return
	}
	d := &refusal.Decision
	details["decision"], details["reason"] = "DENY", d.Reason.String()
	if len(d.Statements) == 0 {
		return
	}
	m := d.Statements[0] // one is enough to deny
	if m.Sid != "" {
		details["matchedSid"] = m.Sid
	}
	source := m.Kind.String()
	if m.Policy != "" {
		source += " " + m.Policy
	}
	details["policySource"] = source
}

// TLSOf describes a connection; nil without TLS.
func TLSOf(state *tls.ConnectionState, host string) *TLS {
	if state == nil {
		return nil
	}
	return &TLS{
		Version: strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1),
		Cipher:  tls.CipherSuiteName(state.CipherSuite), Host: cut(host, messageMax),
	}
}
