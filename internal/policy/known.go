package policy

import (
	"slices"
	"strings"
)

// FindAction returns the Glacier action that has a name, whose case does not
// matter, and whether a vault's policies govern it.
func FindAction(name string) (action string, ofVault, ok bool) {
	same := func(known string) bool { return strings.EqualFold(known, name) }
	if i := slices.IndexFunc(vaultActions, same); i >= 0 {
		return vaultActions[i], true, true
	}
	if i := slices.IndexFunc(identityActions, same); i >= 0 {
		return identityActions[i], false, true
	}
	return "", false, false
}
