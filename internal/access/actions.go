package access

import (
	"strings"

	"moraine"
)

// actionPrefix makes an action's name in policies of an operation's name.
const actionPrefix = "glacier:"

// ownAccount names the actions that may not be on another account's things,
// whatever its policies say (access-control §4.1).
var ownAccount = map[string]bool{
	"AbortVaultLock":              true,
	"AddTagsToVault":              true,
	"CompleteVaultLock":           true,
	"CreateVault":                 true,
	"GetDataRetrievalPolicy":      true,
	"InitiateVaultLock":           true,
	"ListProvisionedCapacity":     true,
	"ListTagsForVault":            true,
	"ListVaults":                  true,
	"PurchaseProvisionedCapacity": true,
	"RemoveTagsFromVault":         true,
	"SetDataRetrievalPolicy":      true,
}

// resource is the ARN an act is on (access-control §4.1).
func resource(act *Act, g *Grant) string {
	prefix := "arn:aws:glacier:" + string(g.region) + ":" + string(g.Account) + ":"
	switch act.Action {
	case "GetDataRetrievalPolicy", "SetDataRetrievalPolicy":
		return prefix + "policies/retrieval-limit-policy"
	case "ListProvisionedCapacity", "PurchaseProvisionedCapacity":
		return prefix + "provisioned-capacity"
	}
	name := act.Vault // of ListVaults, none
	if len(name) > moraine.VaultNameMax {
		name = name[:moraine.VaultNameMax] // such a vault cannot exist, and patterns need not walk all of it
	}
	return moraine.VaultARN(g.region, g.Account, name)
}

// isAccount reports whether an account segment is twelve digits.
func isAccount(segment string) bool {
	return len(segment) == 12 && strings.Trim(segment, "0123456789") == ""
}
