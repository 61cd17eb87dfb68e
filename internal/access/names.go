package access

import (
	"errors"
	"strings"

	"moraine"
	"moraine/internal/arn"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Names finds the unique ids of the users and roles a policy names, for
// policy.Bind (access-control §2.1).
func Names(tx meta.Tx) policy.Lookup {
	return func(principal string) (id string, local bool, err error) {
		a, err := arn.Parse(principal)
		if err != nil { // a unique id
			row, err := tx.Identities().ByID(principal)
			if errors.Is(err, meta.ErrNotFound) {
				return "", false, nil
			}
			return row.ID, err == nil, err
		}
		account := moraine.AccountID(a.Account)
		if _, err := tx.Accounts().Get(account); errors.Is(err, meta.ErrNotFound) {
			return "", false, nil
		} else if err != nil {
			return "", false, err
		}
		id, err = named(tx, account, a.Resource, principal)
		return id, true, err
	}
}

// named returns the id of the user or role that has the ARN, or that of the
// role of a session; "" if there is none.
func named(tx meta.Tx, account moraine.AccountID, resource, principal string) (string, error) {
	kind, path, _ := strings.Cut(resource, "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	var row moraine.Identity
	var err error
	switch kind {
	case "user":
		row, err = tx.Identities().Get(account, moraine.UserIdentity, strings.ToLower(name))
	case "role":
		row, err = tx.Identities().Get(account, moraine.RoleIdentity, strings.ToLower(name))
	case "assumed-role":
		role, _, _ := strings.Cut(path, "/")
		row, err = tx.Identities().Get(account, moraine.RoleIdentity, strings.ToLower(role))
		// The path of the role is no part of its sessions' names.
		if err == nil && strings.HasSuffix(row.ARN, "/"+role) {
			return row.ID, nil
		}
	default:
		return "", nil
	}
	if errors.Is(err, meta.ErrNotFound) || err == nil && row.ARN != principal {
		return "", nil
	}
	return row.ID, err
}
