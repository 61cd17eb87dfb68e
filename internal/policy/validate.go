package policy

import (
	"strconv"
	"strings"

	"moraine/internal/arn"
)

// The largest policies, in bytes of text for a vault's and in characters that
// are not white space for the others (access-control §2.1, §3.6).
const (
	VaultPolicyBytesMax = 20_480
	ManagedPolicySize   = 6_144
	TrustPolicySize     = 2_048
	SessionPolicySize   = 2_048
)

const vaultSidMax = 256

// Target is the place a document is meant for.
type Target struct {
	Kind Kind
	// Vault is the ARN of the vault of an access or lock policy.
	Vault string
	// SizeMax is the quota of identity policies, of which a user's, a group's
	// or a role's inline policies share one; zero means that of a managed
	// policy. Other kinds have their own.
	SizeMax int
	// SizeUsed is how much of SizeMax other policies take (Document.Size).
	SizeUsed int
	// Owner names whose quota it is in the error, in the form "user bob".
	Owner string
}

// Warning is something in a valid policy that its author may not have meant.
type Warning struct {
	Pointer string // JSON pointer
	Reason  string
}

// Size returns what the document counts against quotas of identity policies:
// its characters without white space.
func (d *Document) Size() int { return d.weight }

// Validate checks that a document is fit for its place (access-control §3.6).
// The error is an *Error, the first fault found.
func Validate(d *Document, t Target) ([]Warning, error) {
	if err := d.validateText(&t); err != nil {
		return nil, err
	}
	if d.identified && !t.Kind.ofResource() {
		return nil, syntaxError("/Id", "not allowed here")
	}
	if t.Kind.ofVault() && len(d.statements) == 0 {
		return nil, structureError("/Statement", "empty")
	}
	sids := make(map[string]bool)
	for i := range d.statements {
		s := &d.statements[i]
		if err := s.validate(t.Kind, sids); err != nil {
			return nil, err
		}
	}
	if t.Kind.ofVault() {
		return d.validateVault(&t)
	}
	return d.warnings(), nil
}

func (d *Document) validateText(t *Target) error {
	if t.Kind.ofVault() {
		if d.sizeBytes > VaultPolicyBytesMax {
			return tooLong(VaultPolicyBytesMax, "")
		}
		return nil
	}
	if d.odd {
		return charactersError()
	}
	sizeMax, used := ManagedPolicySize, 0
	switch {
	case t.Kind == TrustPolicy:
		sizeMax = TrustPolicySize
	case t.Kind == SessionPolicy:
		sizeMax = SessionPolicySize
	case t.Kind == IdentityPolicy && t.SizeMax > 0:
		sizeMax, used = t.SizeMax, t.SizeUsed
	}
	if d.weight > sizeMax-used {
		return tooLong(sizeMax, t.Owner)
	}
	return nil
}

func (s *statement) validate(k Kind, sids map[string]bool) error {
	if err := s.validateSid(k, sids); err != nil {
		return err
	}
	if err := s.validatePrincipals(k); err != nil {
		return err
	}
	for i := range s.actions.patterns {
		if err := validateAction(s.actions.pointer(s, "Action", i), s.actions.patterns[i].source); err != nil {
			return err
		}
	}
	if err := s.validateResources(k); err != nil {
		return err
	}
	for i := range s.conditions {
		if err := s.conditions[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

// validateSid checks a Sid: letters and digits, once per document, but for
// vaults, whose policies have always been freer (access-control §3.1).
func (s *statement) validateSid(k Kind, sids map[string]bool) error {
	at := s.at + "/Sid"
	if k.ofVault() {
		if len(s.sid) > vaultSidMax {
			return structureError(at, "longer than "+strconv.Itoa(vaultSidMax))
		}
		if strings.ContainsFunc(s.sid, func(c rune) bool { return c < ' ' || c > '~' }) {
			return structureError(at, "not printable ASCII")
		}
		return nil
	}
	if strings.ContainsFunc(s.sid, func(c rune) bool { return !alphanumeric(c) }) {
		return structureError(at, "not letters and digits")
	}
	if s.sid != "" && sids[s.sid] {
		return sidError(at)
	}
	sids[s.sid] = true
	return nil
}

func (s *statement) validatePrincipals(k Kind) error {
	ps := &s.principals
	switch {
	case !k.ofResource() && ps.entries != nil && ps.negated:
		return hasPrincipalError(s.at + "/NotPrincipal")
	case !k.ofResource() && ps.entries != nil:
		return hasPrincipalError(s.at + "/Principal")
	case k.ofResource() && ps.entries == nil:
		return structureError(s.at+"/Principal", "missing")
	}
	for i := range ps.entries {
		if p := &ps.entries[i]; k.ofVault() && p.form == formForeign {
			return principalError(p.at, p.provider, p.text)
		}
	}
	return nil
}

// validateAction checks that an action is * or vendor:Name, with wildcards in
// the name only.
func validateAction(at, action string) error {
	if action == "*" {
		return nil
	}
	vendor, name, found := strings.Cut(action, ":")
	switch {
	case !found:
		return noVendorError(at)
	case strings.Contains(name, ":"):
		return colonsError(at)
	case vendor == "" || strings.ContainsFunc(vendor, func(c rune) bool { return !alphanumeric(c) && c != '-' && c != '.' }):
		return vendorError(at, vendor)
	case name == "" || strings.ContainsFunc(name, func(c rune) bool { return !alphanumeric(c) && c != '*' && c != '?' }):
		return structureError(at, "no name of an action after the vendor")
	}
	return nil
}

func alphanumeric(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// validateResources checks that resources are * or ARNs, with variables after
// the fifth colon only (access-control §3.2). A trust policy has none.
func (s *statement) validateResources(k Kind) error {
	e := &s.resources
	if k == TrustPolicy {
		if e.patterns != nil {
			return structureError(s.at+"/"+e.name("Resource"), "not allowed here")
		}
		return nil
	}
	if e.patterns == nil {
		return noResourceError(s.at+"/Resource", "missing")
	}
	for i := range e.patterns {
		if err := e.patterns[i].validateResource(e.pointer(s, "Resource", i)); err != nil {
			return err
		}
	}
	return nil
}

func (p *pattern) validateResource(at string) error {
	if p.source == "*" {
		return nil
	}
	a, err := arn.Parse(p.source)
	if err != nil {
		return resourceError(at, p.source)
	}
	parts, ok := p.split(arnParts)
	if !ok {
		return structureError(at, "a variable before the fifth colon")
	}
	for i := range arnParts - 1 {
		if parts[i].has(tokenVariable) {
			return structureError(at, "a variable before the fifth colon")
		}
	}
	if !parts[1].match(arn.Partition, nil) {
		return partitionError(at, a.Partition, p.source)
	}
	return nil
}

// validate checks the form of a condition key: a vendor, a colon, a name. What
// follows a slash is a tag key and may be anything.
func (c *condition) validate() error {
	name, _, _ := strings.Cut(c.name, "/")
	switch strings.Count(name, ":") {
	case 0:
		return noVendorError(c.at)
	case 1:
		return nil
	default:
		return colonsError(c.at)
	}
}

// warnings lists the condition keys no request has.
func (d *Document) warnings() []Warning {
	var ws []Warning
	for i := range d.statements {
		for j := range d.statements[i].conditions {
			if c := &d.statements[i].conditions[j]; !knownKey(c.key) {
				ws = append(ws, Warning{c.at, "no request has the key " + quote(c.name)})
			}
		}
	}
	return ws
}
