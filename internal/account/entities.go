package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// NewEntity describes an entity to make.
type NewEntity struct {
	Kind     moraine.IdentityKind
	Name     string
	Path     string // "" for "/"
	Tags     []moraine.Tag
	Boundary string // ARN of a managed policy, "" for none

	// Of a role.
	Trust       string
	Description string
	SessionMax  time.Duration // zero for an hour
}

// nameParameter is what the name of an entity is called in requests.
func nameParameter(kind moraine.IdentityKind) string { return string(kind) + "Name" }

// Create makes a user, group or role.
func (s *Service) Create(ctx context.Context, c Call, n NewEntity) (*Entity, error) {
	r := rules[n.Kind]
	if n.Path == "" {
		n.Path = "/"
	}
	if err := checkName(n.Name, nameParameter(n.Kind), r.nameMax); err != nil {
		return nil, err
	}
	if err := checkPath(n.Path, "path"); err != nil {
		return nil, err
	}
	a := c.Principal.Account
	arn := entityARN(a, n.Kind, n.Path, n.Name)
	return update(ctx, s, func(tx meta.Tx) (*Entity, error) {
		if err := s.authorize(tx, &c, "iam:Create"+r.title, arn, append(boundaryKey(n.Boundary), requestTags(n.Tags)...)...); err != nil {
			return nil, err
		}
		if err := s.mayTag(tx, &c, r.title, arn, n.Tags); err != nil {
			return nil, err
		}
		if err := vacant(tx, a, n.Kind, n.Name); err != nil {
			return nil, err
		}
		e := &Entity{
			ID: newUniqueID(r.prefix), Account: a, Kind: n.Kind, ARN: arn, Name: n.Name, Path: n.Path, Created: s.birth(),
		}
		var err error
		if e.Tags, err = mergeTags(nil, n.Tags); err != nil {
			return nil, err
		}
		if n.Kind == moraine.RoleIdentity {
			if e.Role, err = newRole(tx, n); err != nil {
				return nil, err
			}
		}
		if err := bound(tx, e, n.Boundary); err != nil {
			return nil, err
		}
		return e, save(tx, e)
	})
}

// mayTag wants whoever makes a thing with tags to be allowed to tag it.
func (s *Service) mayTag(tx meta.Tx, c *Call, title, arn string, tags []moraine.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	return s.authorize(tx, c, "iam:Tag"+title, arn, requestTags(tags)...)
}

// vacant wants the name to be free and the account to have room.
func vacant(tx meta.Tx, a moraine.AccountID, kind moraine.IdentityKind, name string) error {
	r := rules[kind]
	_, err := tx.Identities().Get(a, kind, strings.ToLower(name))
	switch {
	case err == nil && kind == moraine.PolicyIdentity:
		return failf(EntityAlreadyExists, "A policy called %s already exists. Duplicate names are not allowed.", name)
	case err == nil:
		return failf(EntityAlreadyExists, "%s with name %s already exists.", r.title, name)
	case !errors.Is(err, meta.ErrNotFound):
		return err
	}
	n, err := tx.Identities().Count(a, kind)
	if err == nil && n >= r.countMax {
		return overQuota(r.countName, r.countMax)
	}
	return err
}

// admit finds the entity an operation names and decides whether the caller may
// perform the operation on it, before it may learn that there is none.
func (s *Service) admit(tx meta.Tx, c *Call, action string, kind moraine.IdentityKind, name string, extra ...string) (*Entity, error) {
	if err := checkName(name, nameParameter(kind), groupNameMax); err != nil {
		return nil, err
	}
	e, err := find(tx, c.Principal.Account, kind, name)
	arn := entityARN(c.Principal.Account, kind, "/", name)
	if err == nil {
		arn = e.ARN
		extra = append(extra[:len(extra):len(extra)], resourceTags(e.Tags)...)
	}
	if refused := s.authorize(tx, c, action, arn, extra...); refused != nil {
		return nil, refused
	}
	return e, err
}

// Get returns a user, group or role.
func (s *Service) Get(ctx context.Context, c Call, kind moraine.IdentityKind, name string) (*Entity, error) {
	return view(ctx, s, func(tx meta.Tx) (*Entity, error) {
		return s.admit(tx, &c, "iam:Get"+rules[kind].title, kind, name)
	})
}

// Self returns the user who calls, or for root an entity with the account's id
// and no name (access-control §2.3, GetUser).
func (s *Service) Self(ctx context.Context, c Call) (*Entity, error) {
	p := &c.Principal
	return view(ctx, s, func(tx meta.Tx) (*Entity, error) {
		if p.Root {
			account, err := tx.Accounts().Get(p.Account)
			return &Entity{ID: string(p.Account), Account: p.Account, Kind: moraine.UserIdentity, ARN: p.ARN, Created: account.Created}, err
		}
		name, err := ownName(&c)
		if err != nil {
			return nil, err
		}
		return s.admit(tx, &c, "iam:GetUser", moraine.UserIdentity, name)
	})
}

// ownName is the name of the user who calls.
func ownName(c *Call) (string, error) {
	if c.Principal.Root || c.Principal.RoleID != "" {
		return "", failf(ValidationError, "Must specify userName when calling with non-User credentials")
	}
	return c.Principal.ARN[lastSlash(c.Principal.ARN):], nil
}

// Entities is a page of a list.
type Entities struct {
	List []*Entity
	Next string // marker of the next page, "" at the end
}

// List returns users, groups or roles whose path begins with prefix, in order
// of name.
func (s *Service) List(ctx context.Context, c Call, kind moraine.IdentityKind, prefix string, p Page) (Entities, error) {
	a := c.Principal.Account
	return view(ctx, s, func(tx meta.Tx) (Entities, error) {
		if err := s.authorize(tx, &c, "iam:List"+rules[kind].title+"s", entityARN(a, kind, prefixOrRoot(prefix), "")); err != nil {
			return Entities{}, err
		}
		page, next, err := pageOf(tx, a, kind, p, func(row moraine.Identity) (*Entity, bool, error) {
			e, err := readEntity(row)
			return e, err == nil && strings.HasPrefix(e.Path, prefix), err
		})
		return Entities{page, next}, err
	})
}

func prefixOrRoot(prefix string) string {
	if prefix == "" {
		return "/"
	}
	return prefix
}

// Rename changes name and path of a user or group; "" leaves one as it is. The
// unique id stays, and with it keys, memberships and attachments.
func (s *Service) Rename(ctx context.Context, c Call, kind moraine.IdentityKind, name, newName, newPath string) error {
	r := rules[kind]
	return s.change(ctx, func(tx meta.Tx) error {
		e, err := s.admit(tx, &c, "iam:Update"+r.title, kind, name)
		if err != nil {
			return err
		}
		renamed := newName != "" && newName != name
		if newName != "" {
			if err := checkName(newName, "new"+r.title+"Name", r.nameMax); err != nil {
				return err
			}
			e.Name = newName
		}
		if newPath != "" {
			if err := checkPath(newPath, "newPath"); err != nil {
				return err
			}
			e.Path = newPath
		}
		e.ARN = entityARN(e.Account, kind, e.Path, e.Name)
		// The target is another name for the evaluator: whoever may rename one
		// entity may not take the place of any other.
		if err := s.authorize(tx, &c, "iam:Update"+r.title, e.ARN); err != nil {
			return err
		}
		if renamed && !strings.EqualFold(newName, name) {
			if err := vacant(tx, e.Account, kind, newName); err != nil {
				var full *Error
				if !errors.As(err, &full) || full.Code != LimitExceeded { // nothing is added
					return err
				}
			}
		}
		return save(tx, e)
	})
}

// Delete removes a user, group or role that nothing hangs on any more.
func (s *Service) Delete(ctx context.Context, c Call, kind moraine.IdentityKind, name string) error {
	return s.change(ctx, func(tx meta.Tx) error {
		e, err := s.admit(tx, &c, "iam:Delete"+rules[kind].title, kind, name)
		if err != nil {
			return err
		}
		if err := free(tx, e); err != nil {
			return err
		}
		if err := bound(tx, e, ""); err != nil {
			return err
		}
		return tx.Identities().Delete(e.ID)
	})
}

// free wants nothing to depend on the entity.
func free(tx meta.Tx, e *Entity) error {
	conflict := func(what string) error { return failf(DeleteConflict, "Cannot delete entity, must %s first.", what) }
	keys, err := tx.AccessKeys().List(e.Account, e.ID, 1)
	switch {
	case err != nil:
		return err
	case len(e.Inline) > 0:
		return conflict("delete policies")
	case len(e.Attached) > 0:
		return conflict("detach all policies")
	case len(keys) > 0:
		return conflict("delete access keys")
	case len(e.Groups) > 0, e.Members > 0:
		return conflict("remove users from group")
	}
	return nil
}

// Tag adds tags to a user or role.
func (s *Service) Tag(ctx context.Context, c Call, kind moraine.IdentityKind, name string, tags []moraine.Tag) error {
	if len(tags) == 0 {
		return absent("tags")
	}
	return s.retag(ctx, c, "iam:Tag", kind, name, requestTags(tags), func(old []moraine.Tag) ([]moraine.Tag, error) { return mergeTags(old, tags) })
}

// Untag removes the tags with these keys.
func (s *Service) Untag(ctx context.Context, c Call, kind moraine.IdentityKind, name string, keys []string) error {
	if len(keys) == 0 {
		return absent("tagKeys")
	}
	var said []string
	for _, key := range keys {
		said = append(said, keyTagKeys, key)
	}
	return s.retag(ctx, c, "iam:Untag", kind, name, said, func(old []moraine.Tag) ([]moraine.Tag, error) { return dropTags(old, keys), nil })
}

func (s *Service) retag(ctx context.Context, c Call, verb string, kind moraine.IdentityKind, name string, said []string, fn func([]moraine.Tag) ([]moraine.Tag, error)) error {
	return s.change(ctx, func(tx meta.Tx) error {
		e, err := s.admit(tx, &c, verb+rules[kind].title, kind, name, said...)
		if err != nil {
			return err
		}
		if e.Tags, err = fn(e.Tags); err != nil {
			return err
		}
		return save(tx, e)
	})
}

// Tags returns a page of the tags of a user or role.
func (s *Service) Tags(ctx context.Context, c Call, kind moraine.IdentityKind, name string, p Page) (tags []moraine.Tag, next string, err error) {
	e, err := view(ctx, s, func(tx meta.Tx) (*Entity, error) {
		return s.admit(tx, &c, "iam:List"+rules[kind].title+"Tags", kind, name)
	})
	if err != nil {
		return nil, "", err
	}
	return cut(e.Tags, p)
}

// boundaryKey is the condition key of operations that set a boundary.
func boundaryKey(arn string) []string {
	if arn == "" {
		return nil
	}
	return []string{"iam:PermissionsBoundary", arn}
}

// bound makes the managed policy with that ARN the boundary of e, "" removes
// it. The caller saves e.
func bound(tx meta.Tx, e *Entity, arn string) error {
	if e.Boundary == arn {
		return nil
	}
	if e.Boundary != "" {
		m, err := findManaged(tx, e.Account, e.Boundary)
		if err != nil {
			return err
		}
		m.Boundaries--
		if err := save(tx, m); err != nil {
			return err
		}
	}
	e.Boundary = arn
	if arn == "" {
		return nil
	}
	m, err := findManaged(tx, e.Account, arn)
	if err != nil {
		return notAttachable(err, arn)
	}
	m.Boundaries++
	return save(tx, m)
}

// SetBoundary makes a managed policy the permissions boundary of a user or
// role.
func (s *Service) SetBoundary(ctx context.Context, c Call, kind moraine.IdentityKind, name, arn string) error {
	action := "iam:Put" + rules[kind].title + "PermissionsBoundary"
	if arn == "" {
		return absent("permissionsBoundary")
	}
	return s.rebound(ctx, c, action, kind, name, arn)
}

// DropBoundary removes the permissions boundary of a user or role.
func (s *Service) DropBoundary(ctx context.Context, c Call, kind moraine.IdentityKind, name string) error {
	return s.rebound(ctx, c, "iam:Delete"+rules[kind].title+"PermissionsBoundary", kind, name, "")
}

func (s *Service) rebound(ctx context.Context, c Call, action string, kind moraine.IdentityKind, name, arn string) error {
	err := s.change(ctx, func(tx meta.Tx) error {
		concerned := arn
		if concerned == "" { // the one that is to go
			if e, err := find(tx, c.Principal.Account, kind, name); err == nil {
				concerned = e.Boundary
			}
		}
		e, err := s.admit(tx, &c, action, kind, name, boundaryKey(concerned)...)
		if err != nil {
			return err
		}
		if arn == "" && e.Boundary == "" {
			return failf(NoSuchEntity, "%s %s does not have a permissions boundary.", rules[kind].title, name)
		}
		if err := bound(tx, e, arn); err != nil {
			return err
		}
		return save(tx, e)
	})
	if err == nil {
		s.privileged(ctx, &c, action, name)
	}
	return err
}

// indexOf finds an inline policy by name.
func indexOf(list []InlinePolicy, name string) (int, bool) {
	return slices.BinarySearchFunc(list, name, func(p InlinePolicy, name string) int { return strings.Compare(p.Name, name) })
}
