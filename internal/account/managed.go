package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// NewPolicy describes a managed policy to make.
type NewPolicy struct {
	Name, Path, Text, Description string
	Tags                          []moraine.Tag
}

// CreatePolicy makes a managed policy with its version v1.
func (s *Service) CreatePolicy(ctx context.Context, c Call, n NewPolicy) (*Managed, error) {
	if n.Path == "" {
		n.Path = "/"
	}
	if err := checkName(n.Name, "policyName", policyName); err != nil {
		return nil, err
	}
	if err := checkPath(n.Path, "path"); err != nil {
		return nil, err
	}
	if err := checkDescription(n.Description); err != nil {
		return nil, err
	}
	a := c.Principal.Account
	arn := entityARN(a, moraine.PolicyIdentity, n.Path, n.Name)
	return update(ctx, s, func(tx meta.Tx) (*Managed, error) {
		if err := s.authorize(tx, &c, "iam:CreatePolicy", arn, requestTags(n.Tags)...); err != nil {
			return nil, err
		}
		if err := s.mayTag(tx, &c, "Policy", arn, n.Tags); err != nil {
			return nil, err
		}
		if err := vacant(tx, a, moraine.PolicyIdentity, n.Name); err != nil {
			return nil, err
		}
		if _, err := document(n.Text, policy.Target{Kind: policy.IdentityPolicy, Owner: "policy " + n.Name}); err != nil {
			return nil, err
		}
		tags, err := mergeTags(nil, n.Tags)
		if err != nil {
			return nil, err
		}
		now := s.birth()
		m := &Managed{
			ID: newUniqueID("ANPA"), Account: a, ARN: arn, Name: n.Name, Path: n.Path, Description: n.Description,
			Created: now, Updated: now, Tags: tags, Versions: []Version{{1, n.Text, now}}, Default: 1, Last: 1,
		}
		return m, save(tx, m)
	})
}

func checkDescription(text string) error {
	if utf8.RuneCountInString(text) > descriptionMax {
		return violation(text, "description", "Member must have length less than or equal to 1000")
	}
	return nil
}

// admitPolicy is admit for managed policies.
func (s *Service) admitPolicy(tx meta.Tx, c *Call, action, arn string) (*Managed, error) {
	if err := checkPolicyARN(arn); err != nil {
		return nil, err
	}
	if err := s.authorize(tx, c, action, arn); err != nil {
		return nil, err
	}
	return findManaged(tx, c.Principal.Account, arn)
}

func checkPolicyARN(arn string) error {
	switch {
	case arn == "":
		return absent("policyArn")
	case len(arn) < 20 || len(arn) > 2048 || !strings.HasPrefix(arn, "arn:"):
		return failf(InvalidInput, "ARN %s is not valid.", echo(arn))
	}
	return nil
}

// Policy returns a managed policy.
func (s *Service) Policy(ctx context.Context, c Call, arn string) (*Managed, error) {
	return view(ctx, s, func(tx meta.Tx) (*Managed, error) { return s.admitPolicy(tx, &c, "iam:GetPolicy", arn) })
}

// PolicyVersions returns a managed policy for the sake of one operation on its
// versions, GetPolicyVersion or ListPolicyVersions.
func (s *Service) PolicyVersions(ctx context.Context, c Call, arn string, p Page) (m *Managed, list []Version, next string, err error) {
	m, err = view(ctx, s, func(tx meta.Tx) (*Managed, error) { return s.admitPolicy(tx, &c, "iam:ListPolicyVersions", arn) })
	if err != nil {
		return nil, nil, "", err
	}
	list = slices.Clone(m.Versions)
	slices.Reverse(list) // the newest first
	list, next, err = cut(list, p)
	return m, list, next, err
}

// PolicyVersion returns one version of a managed policy.
func (s *Service) PolicyVersion(ctx context.Context, c Call, arn, id string) (*Managed, *Version, error) {
	var v *Version
	m, err := view(ctx, s, func(tx meta.Tx) (*Managed, error) {
		m, err := s.admitPolicy(tx, &c, "iam:GetPolicyVersion", arn)
		if err != nil {
			return nil, err
		}
		v, err = m.find(id)
		return m, err
	})
	return m, v, err
}

// find returns the version with an id such as "v3".
func (m *Managed) find(id string) (*Version, error) {
	if id == "" {
		return nil, absent("versionId")
	}
	for i := range m.Versions {
		if m.Versions[i].ID() == id {
			return &m.Versions[i], nil
		}
	}
	return nil, failf(NoSuchEntity, "Policy %s version %s does not exist or is not attachable.", m.ARN, echo(id))
}

// PolicyList selects managed policies.
type PolicyList struct {
	Scope      string // "", "All", "Local" or "AWS"
	Attached   bool   // only those in use
	PathPrefix string
	Page
}

// Policies returns managed policies in order of name. There are none but the
// account's own.
func (s *Service) Policies(ctx context.Context, c Call, q PolicyList) (list []*Managed, next string, err error) {
	a := c.Principal.Account
	list, err = view(ctx, s, func(tx meta.Tx) (page []*Managed, err error) {
		if err := s.authorize(tx, &c, "iam:ListPolicies", entityARN(a, moraine.PolicyIdentity, prefixOrRoot(q.PathPrefix), "")); err != nil {
			return nil, err
		}
		switch q.Scope {
		case "", "All", "Local":
		case "AWS":
			return nil, nil
		default:
			return nil, violation(q.Scope, "scope", "Member must satisfy enum value set: [All, AWS, Local]")
		}
		page, next, err = pageOf(tx, a, moraine.PolicyIdentity, q.Page, func(row moraine.Identity) (*Managed, bool, error) {
			m, err := readManaged(row)
			return m, err == nil && strings.HasPrefix(m.Path, q.PathPrefix) && (!q.Attached || m.Attached > 0), err
		})
		return page, err
	})
	return list, next, err
}

// DeletePolicy removes a managed policy that nobody uses and that has no
// version but the default one.
func (s *Service) DeletePolicy(ctx context.Context, c Call, arn string) error {
	return s.change(ctx, func(tx meta.Tx) error {
		m, err := s.admitPolicy(tx, &c, "iam:DeletePolicy", arn)
		switch {
		case err != nil:
			return err
		case m.Attached > 0 || m.Boundaries > 0:
			return failf(DeleteConflict, "Cannot delete a policy attached to entities.")
		case len(m.Versions) > 1:
			return failf(DeleteConflict, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		return tx.Identities().Delete(m.ID)
	})
}

// AddPolicyVersion stores a new version of a managed policy, in force at once
// if it is to be the default.
func (s *Service) AddPolicyVersion(ctx context.Context, c Call, arn, text string, asDefault bool) (m *Managed, v *Version, err error) {
	m, err = update(ctx, s, func(tx meta.Tx) (*Managed, error) {
		m, err := s.admitPolicy(tx, &c, "iam:CreatePolicyVersion", arn)
		if err != nil {
			return nil, err
		}
		if _, err := document(text, policy.Target{Kind: policy.IdentityPolicy, Owner: "policy " + m.Name}); err != nil {
			return nil, err
		}
		if len(m.Versions) >= versionsMax {
			return nil, failf(LimitExceeded, "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", versionsMax)
		}
		m.Last++
		m.Versions = append(m.Versions, Version{m.Last, text, s.birth()})
		if asDefault {
			m.Default, m.Updated = m.Last, s.birth()
		}
		return m, save(tx, m)
	})
	if err != nil {
		return nil, nil, err
	}
	s.privileged(ctx, &c, "iam:CreatePolicyVersion", arn)
	return m, m.version(m.Last), nil
}

// SetDefaultVersion puts another version of a managed policy in force.
func (s *Service) SetDefaultVersion(ctx context.Context, c Call, arn, id string) error {
	err := s.change(ctx, func(tx meta.Tx) error {
		m, err := s.admitPolicy(tx, &c, "iam:SetDefaultPolicyVersion", arn)
		if err != nil {
			return err
		}
		v, err := m.find(id)
		if err != nil {
			return err
		}
		m.Default, m.Updated = v.Number, s.birth()
		return save(tx, m)
	})
	if err == nil {
		s.privileged(ctx, &c, "iam:SetDefaultPolicyVersion", arn)
	}
	return err
}

// DeletePolicyVersion removes a version that is not the default.
func (s *Service) DeletePolicyVersion(ctx context.Context, c Call, arn, id string) error {
	return s.change(ctx, func(tx meta.Tx) error {
		m, err := s.admitPolicy(tx, &c, "iam:DeletePolicyVersion", arn)
		if err != nil {
			return err
		}
		v, err := m.find(id)
		if err != nil {
			return err
		}
		if v.Number == m.Default {
			return failf(DeleteConflict, "Cannot delete the default version of a policy.")
		}
		m.Versions = slices.DeleteFunc(m.Versions, func(other Version) bool { return other.Number == v.Number })
		return save(tx, m)
	})
}

// TagPolicy adds tags to a managed policy; UntagPolicy removes some.
func (s *Service) TagPolicy(ctx context.Context, c Call, arn string, tags []moraine.Tag) error {
	if len(tags) == 0 {
		return absent("tags")
	}
	return s.retagPolicy(ctx, c, "iam:TagPolicy", arn, func(old []moraine.Tag) ([]moraine.Tag, error) { return mergeTags(old, tags) })
}

// UntagPolicy removes the tags with these keys.
func (s *Service) UntagPolicy(ctx context.Context, c Call, arn string, keys []string) error {
	if len(keys) == 0 {
		return absent("tagKeys")
	}
	return s.retagPolicy(ctx, c, "iam:UntagPolicy", arn, func(old []moraine.Tag) ([]moraine.Tag, error) { return dropTags(old, keys), nil })
}

func (s *Service) retagPolicy(ctx context.Context, c Call, action, arn string, fn func([]moraine.Tag) ([]moraine.Tag, error)) error {
	return s.change(ctx, func(tx meta.Tx) error {
		m, err := s.admitPolicy(tx, &c, action, arn)
		if err != nil {
			return err
		}
		if m.Tags, err = fn(m.Tags); err != nil {
			return err
		}
		return save(tx, m)
	})
}

// PolicyTags returns a page of the tags of a managed policy.
func (s *Service) PolicyTags(ctx context.Context, c Call, arn string, p Page) (tags []moraine.Tag, next string, err error) {
	m, err := view(ctx, s, func(tx meta.Tx) (*Managed, error) { return s.admitPolicy(tx, &c, "iam:ListPolicyTags", arn) })
	if err != nil {
		return nil, "", err
	}
	return cut(m.Tags, p)
}

// notAttachable is the error for a policy that is to be used and does not
// exist.
func notAttachable(err error, arn string) error {
	var absent *Error
	if errors.As(err, &absent) && absent.Code == NoSuchEntity {
		return failf(NoSuchEntity, "Policy %s does not exist or is not attachable.", echo(arn))
	}
	return err
}

// Attach attaches a managed policy to a user, group or role. Doing it again is
// no error.
func (s *Service) Attach(ctx context.Context, c Call, kind moraine.IdentityKind, name, arn string) error {
	r := rules[kind]
	action := "iam:Attach" + r.title + "Policy"
	err := s.attachment(ctx, c, action, kind, name, arn, func(e *Entity, m *Managed) error {
		i, found := slices.BinarySearch(e.Attached, arn)
		if found {
			return nil
		}
		if len(e.Attached) >= attachedMax {
			return overQuota("PoliciesPer"+r.title, attachedMax)
		}
		e.Attached = slices.Insert(e.Attached, i, arn)
		m.Attached++
		return nil
	})
	if err == nil {
		s.privileged(ctx, &c, action, name)
	}
	return err
}

// Detach undoes Attach.
func (s *Service) Detach(ctx context.Context, c Call, kind moraine.IdentityKind, name, arn string) error {
	action := "iam:Detach" + rules[kind].title + "Policy"
	return s.attachment(ctx, c, action, kind, name, arn, func(e *Entity, m *Managed) error {
		i, found := slices.BinarySearch(e.Attached, arn)
		if !found {
			return noSuchPolicy(echo(arn))
		}
		e.Attached = slices.Delete(e.Attached, i, i+1)
		m.Attached--
		return nil
	})
}

func (s *Service) attachment(ctx context.Context, c Call, action string, kind moraine.IdentityKind, name, arn string, fn func(*Entity, *Managed) error) error {
	return s.change(ctx, func(tx meta.Tx) error {
		e, err := s.admit(tx, &c, action, kind, name, "iam:PolicyARN", arn)
		if err != nil {
			return err
		}
		if err := checkPolicyARN(arn); err != nil {
			return err
		}
		m, err := findManaged(tx, e.Account, arn)
		if err != nil {
			return notAttachable(err, arn)
		}
		if err := fn(e, m); err != nil {
			return err
		}
		return errors.Join(save(tx, e), save(tx, m))
	})
}

// Attached returns the ARNs of the managed policies of a user, group or role,
// in order.
func (s *Service) Attached(ctx context.Context, c Call, kind moraine.IdentityKind, name, prefix string, p Page) (arns []string, next string, err error) {
	e, err := view(ctx, s, func(tx meta.Tx) (*Entity, error) {
		return s.admit(tx, &c, "iam:ListAttached"+rules[kind].title+"Policies", kind, name)
	})
	if err != nil {
		return nil, "", err
	}
	path := ":policy" + prefixOrRoot(prefix)
	for _, arn := range e.Attached {
		if strings.Contains(arn, path) {
			arns = append(arns, arn)
		}
	}
	return cut(arns, p)
}

// UsersOfPolicy selects who uses a managed policy.
type UsersOfPolicy struct {
	Kind       moraine.IdentityKind // "" for all
	PathPrefix string
	Boundary   bool // as a boundary
	Permission bool // attached
	Page
}

// EntitiesOf returns users, groups and roles that use a managed policy.
func (s *Service) EntitiesOf(ctx context.Context, c Call, arn string, q UsersOfPolicy) (Entities, error) {
	return view(ctx, s, func(tx meta.Tx) (Entities, error) {
		m, err := s.admitPolicy(tx, &c, "iam:ListEntitiesForPolicy", arn)
		if err != nil {
			return Entities{}, err
		}
		var all []*Entity
		for _, kind := range []moraine.IdentityKind{moraine.GroupIdentity, moraine.UserIdentity, moraine.RoleIdentity} {
			if q.Kind != "" && q.Kind != kind {
				continue
			}
			err := walk(tx, m.Account, kind, "", func(row moraine.Identity) (bool, error) {
				e, err := readEntity(row)
				if err != nil {
					return false, err
				}
				uses := q.Permission && slices.Contains(e.Attached, arn) || q.Boundary && e.Boundary == arn
				if uses && strings.HasPrefix(e.Path, q.PathPrefix) {
					all = append(all, e)
				}
				return true, nil
			})
			if err != nil {
				return Entities{}, err
			}
		}
		page, next, err := cut(all, q.Page)
		return Entities{page, next}, err
	})
}
