package policy

import "strings"

// validateVault applies the rules for a vault's policies alone
// (access-control §3.6).
func (d *Document) validateVault(t *Target) ([]Warning, error) {
	for i := range d.statements {
		if err := d.statements[i].validateVault(); err != nil {
			return nil, err
		}
	}
	strays, err := d.strays(t)
	if err != nil {
		return nil, err
	}
	return append(strays, d.warnings()...), nil
}

// strays finds the statements that cannot be about the vault. A lock policy
// must have none, an access policy at least one that is not.
func (d *Document) strays(t *Target) ([]Warning, error) {
	var strays []Warning
	for i := range d.statements {
		s := &d.statements[i]
		if s.resources.covers(t.Vault) {
			continue
		}
		at, reason := s.at+"/"+s.resources.name("Resource"), "does not match the vault"
		if t.Kind == LockPolicy {
			return nil, structureError(at, reason)
		}
		strays = append(strays, Warning{at, reason})
	}
	if len(strays) == len(d.statements) {
		return nil, structureError(strays[0].Pointer, strays[0].Reason)
	}
	return strays, nil
}

// covers reports whether the element may match s for some request.
func (e *element) covers(s string) bool {
	for i := range e.patterns {
		p := &e.patterns[i]
		if e.negated && !p.has(tokenVariable) && p.match(s, nil) {
			return false // excluded for every request
		}
		if w := p.widened(); !e.negated && w.match(s, nil) {
			return true
		}
	}
	return e.negated
}

func (s *statement) validateVault() error {
	for i := range s.actions.patterns {
		if err := s.actions.patterns[i].validateVaultAction(s.actions.pointer(s, "Action", i)); err != nil {
			return err
		}
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if strings.HasPrefix(c.key, prefixGlacier) && !knownKey(c.key) {
			return structureError(c.at, "unknown condition key")
		}
	}
	return nil
}

// validateVaultAction checks that an action is one a vault's policy can
// govern, or a pattern that covers some Glacier action.
func (p *pattern) validateVaultAction(at string) error {
	switch {
	case p.source == "*":
		return nil
	case !hasPrefixFold(p.source, prefixGlacier):
		return structureError(at, "an action of another vendor")
	case p.matchesAny(vaultActions):
		return nil
	case !p.matchesAny(identityActions):
		return structureError(at, "no such Glacier action")
	case p.constant():
		return structureError(at, "an action for identity policies only")
	default:
		return nil
	}
}
