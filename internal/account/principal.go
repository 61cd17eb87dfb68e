package account

import (
	"errors"
	"strings"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/arn"
	"moraine/internal/meta"
)

// sessionOfRole is the name of the session for whom a role is asked about.
const sessionOfRole = "simulate"

// Named returns the principal an ARN names: the root of an account, a user, a
// session of a role, or for a role a session of it that begins at the given
// time. It asks nobody for permission: it is for operators with the rows at
// hand, and no surface may offer it.
func Named(tx meta.Tx, name string, at time.Time) (access.Principal, error) {
	a, err := arn.Parse(name)
	kind, path, _ := strings.Cut(a.Resource, "/")
	switch {
	case err != nil, (path == "") != (kind == "root"), a.Service == "iam" && kind != "root" && kind != "user" && kind != "role",
		a.Service == "sts" && kind != "assumed-role", a.Service != "iam" && a.Service != "sts":
		return access.Principal{}, failf(InvalidInput, "%s is not the ARN of a root, a user, a role or a session of a role.", echo(name))
	}
	id := moraine.AccountID(a.Account)
	if _, err := tx.Accounts().Get(id); errors.Is(err, meta.ErrNotFound) {
		return access.Principal{}, failf(NoSuchEntity, "The account %s cannot be found.", echo(a.Account))
	} else if err != nil {
		return access.Principal{}, err
	}
	if kind == "root" {
		return rootPrincipal(id), nil
	}
	session := session{Name: sessionOfRole}
	entity := path[lastSlash(path):]
	if kind == "assumed-role" {
		kind = string(moraine.RoleIdentity)
		entity, session.Name, _ = strings.Cut(path, "/")
	}
	e, err := find(tx, id, moraine.IdentityKind(kind), entity)
	if err == nil && a.Service == "iam" && e.ARN != name {
		err = noSuch(e.Kind, e.Name)
	}
	if err != nil {
		return access.Principal{}, err
	}
	p, err := compile(tx, e.ID)
	switch {
	case err != nil:
		return access.Principal{}, err
	case e.Kind == moraine.UserIdentity:
		return *p, nil
	}
	session.Issued = e.Role.begin(at).Unix()
	return narrow(tx, *p, &session)
}
