package iamapi

import (
	"encoding/json"
	"encoding/xml"
	"strings"

	"moraine"
	"moraine/internal/account"
)

func (s *Server) createUser(c *call) (any, error) {
	e, err := s.cfg.Accounts.Create(c.r.Context(), c.who, account.NewEntity{
		Kind: user, Name: c.get("UserName"), Path: c.get("Path"), Tags: c.tags("Tags"), Boundary: c.get("PermissionsBoundary"),
	})
	return one("User", e, userOf, err)
}

func (s *Server) getUser(c *call) (any, error) {
	if name := c.get("UserName"); name != "" {
		e, err := s.cfg.Accounts.Get(c.r.Context(), c.who, user, name)
		return one("User", e, userOf, err)
	}
	e, err := s.cfg.Accounts.Self(c.r.Context(), c.who)
	return one("User", e, userOf, err)
}

// single is a result with one element.
type single[T any] struct {
	XMLName xml.Name
	name    string
	value   T
}

// MarshalXML puts the value under its name.
func (s single[T]) MarshalXML(enc *xml.Encoder, start xml.StartElement) error {
	if err := enc.EncodeToken(start); err != nil {
		return err
	}
	if err := enc.EncodeElement(s.value, element(s.name, "")); err != nil {
		return err
	}
	return enc.EncodeToken(start.End())
}

// MarshalJSON is for the audit log.
func (s single[T]) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{s.name: s.value})
}

// one makes a result with one element from what an operation returned.
func one[F, T any](name string, from *F, fn func(*F) T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return single[T]{name: name, value: fn(from)}, nil
}

// several is a result with a list and its page.
type several[T any] struct {
	name string
	list members[T]
	page page
}

// MarshalXML puts the list under its name.
func (s several[T]) MarshalXML(enc *xml.Encoder, start xml.StartElement) error {
	if err := enc.EncodeToken(start); err != nil {
		return err
	}
	if err := enc.EncodeElement(s.list, element(s.name, "")); err != nil {
		return err
	}
	if err := enc.EncodeElement(s.page.IsTruncated, element("IsTruncated", "")); err != nil {
		return err
	}
	if s.page.Marker != "" {
		if err := enc.EncodeElement(s.page.Marker, element("Marker", "")); err != nil {
			return err
		}
	}
	return enc.EncodeToken(start.End())
}

func emptyList(name string) any { return several[string]{name: name} }

// entities lists users, groups or roles under a name.
func entities[T any](s *Server, c *call, kind moraine.IdentityKind, name string, fn func(*account.Entity) T) (any, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	prefix, err := c.prefix()
	if err != nil {
		return nil, err
	}
	l, err := s.cfg.Accounts.List(c.r.Context(), c.who, kind, prefix, p)
	return several[T]{name, list(l.List, fn), ended(l.Next)}, err
}

func (s *Server) listUsers(c *call) (any, error) { return entities(s, c, user, "Users", bareUser) }

func (s *Server) listGroupsForUser(c *call) (any, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	l, err := s.cfg.Accounts.GroupsOf(c.r.Context(), c.who, c.named(user), p)
	return several[groupXML]{"Groups", list(l.List, groupOf), ended(l.Next)}, err
}

func (s *Server) createAccessKey(c *call) (any, error) {
	k, err := s.cfg.Accounts.CreateKey(c.r.Context(), c.who, c.get("UserName"))
	return one("AccessKey", &k, func(k *account.Key) keyXML { return keyOf(*k) }, err)
}

func (s *Server) listAccessKeys(c *call) (any, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	keys, next, err := s.cfg.Accounts.Keys(c.r.Context(), c.who, c.get("UserName"), p)
	return several[keyXML]{"AccessKeyMetadata", list(keys, keyOf), ended(next)}, err
}

func (s *Server) updateAccessKey(c *call) (any, error) {
	status := c.get("Status")
	if status != "Active" && status != "Inactive" {
		return nil, validation("1 validation error detected: Value " + quoted(status) + " at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]")
	}
	return nil, s.cfg.Accounts.SetKeyActive(c.r.Context(), c.who, c.get("UserName"), c.get("AccessKeyId"), status == "Active")
}

func (s *Server) deleteAccessKey(c *call) (any, error) {
	return nil, s.cfg.Accounts.DeleteKey(c.r.Context(), c.who, c.get("UserName"), c.get("AccessKeyId"))
}

func (s *Server) getAccessKeyLastUsed(c *call) (any, error) {
	k, err := s.cfg.Accounts.KeyUse(c.r.Context(), c.who, c.get("AccessKeyId"))
	type use struct {
		LastUsedDate        string `xml:",omitempty"`
		ServiceName, Region string
	}
	u := use{"", "N/A", "N/A"}
	if !k.Used.At.IsZero() {
		u = use{stamp(k.Used.At), k.Used.Service, k.Used.Region}
	}
	return struct {
		UserName          string `xml:",omitempty"`
		AccessKeyLastUsed use
	}{k.UserName, u}, err
}

func (s *Server) createGroup(c *call) (any, error) {
	e, err := s.cfg.Accounts.Create(c.r.Context(), c.who, account.NewEntity{Kind: group, Name: c.get("GroupName"), Path: c.get("Path")})
	return one("Group", e, groupOf, err)
}

func (s *Server) getGroup(c *call) (any, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	m, err := s.cfg.Accounts.Members(c.r.Context(), c.who, c.named(group), p)
	if err != nil {
		return nil, err
	}
	return struct {
		Group groupXML
		Users members[userXML]
		page
	}{groupOf(m.Group), list(m.List, bareUser), ended(m.Next)}, nil
}

func (s *Server) listGroups(c *call) (any, error) { return entities(s, c, group, "Groups", groupOf) }

func (s *Server) addUserToGroup(c *call) (any, error) {
	return nil, s.cfg.Accounts.Join(c.r.Context(), c.who, c.named(group), c.named(user))
}

func (s *Server) removeUserFromGroup(c *call) (any, error) {
	return nil, s.cfg.Accounts.Leave(c.r.Context(), c.who, c.named(group), c.named(user))
}

func (s *Server) createRole(c *call) (any, error) {
	d, err := c.seconds("MaxSessionDuration")
	if err != nil {
		return nil, err
	}
	n := account.NewEntity{
		Kind: role, Name: c.get("RoleName"), Path: c.get("Path"), Tags: c.tags("Tags"), Boundary: c.get("PermissionsBoundary"),
		Trust: c.get("AssumeRolePolicyDocument"), Description: c.get("Description"),
	}
	if d != nil {
		n.SessionMax = max(*d, 1)
	}
	e, err := s.cfg.Accounts.Create(c.r.Context(), c.who, n)
	return one("Role", e, roleOf, err)
}

func (s *Server) getRole(c *call) (any, error) {
	e, err := s.cfg.Accounts.Get(c.r.Context(), c.who, role, c.named(role))
	return one("Role", e, roleOf, err)
}

func (s *Server) listRoles(c *call) (any, error) { return entities(s, c, role, "Roles", bareRole) }

func (s *Server) updateRole(c *call) (any, error) {
	d, err := c.seconds("MaxSessionDuration")
	if err != nil {
		return nil, err
	}
	var description *string
	if c.params.Has("Description") {
		text := c.get("Description")
		description = &text
	}
	return struct{}{}, s.cfg.Accounts.UpdateRole(c.r.Context(), c.who, c.named(role), description, d)
}

func (s *Server) updateRoleDescription(c *call) (any, error) {
	text := c.get("Description")
	if err := s.cfg.Accounts.UpdateRole(c.r.Context(), c.who, c.named(role), &text, nil); err != nil {
		return nil, err
	}
	e, err := s.cfg.Accounts.Get(c.r.Context(), c.who, role, c.named(role))
	return one("Role", e, roleOf, err)
}

func (s *Server) updateAssumeRolePolicy(c *call) (any, error) {
	return nil, s.cfg.Accounts.SetTrust(c.r.Context(), c.who, c.named(role), c.get("PolicyDocument"))
}

func (s *Server) createPolicy(c *call) (any, error) {
	m, err := s.cfg.Accounts.CreatePolicy(c.r.Context(), c.who, account.NewPolicy{
		Name: c.get("PolicyName"), Path: c.get("Path"), Text: c.get("PolicyDocument"), Description: c.get("Description"), Tags: c.tags("Tags"),
	})
	return one("Policy", m, policyOf, err)
}

func (s *Server) getPolicy(c *call) (any, error) {
	m, err := s.cfg.Accounts.Policy(c.r.Context(), c.who, c.named(policy))
	return one("Policy", m, policyOf, err)
}

func (s *Server) listPolicies(c *call) (any, error) {
	q := account.PolicyList{Scope: c.get("Scope")}
	var err error
	if q.Page, err = c.page(); err != nil {
		return nil, err
	}
	if q.PathPrefix, err = c.prefix(); err != nil {
		return nil, err
	}
	if q.Attached, err = c.flag("OnlyAttached"); err != nil {
		return nil, err
	}
	l, next, err := s.cfg.Accounts.Policies(c.r.Context(), c.who, q)
	return several[policyXML]{"Policies", list(l, barePolicy), ended(next)}, err
}

func (s *Server) deletePolicy(c *call) (any, error) {
	return nil, s.cfg.Accounts.DeletePolicy(c.r.Context(), c.who, c.named(policy))
}

func (s *Server) createPolicyVersion(c *call) (any, error) {
	asDefault, err := c.flag("SetAsDefault")
	if err != nil {
		return nil, err
	}
	m, v, err := s.cfg.Accounts.AddPolicyVersion(c.r.Context(), c.who, c.named(policy), c.get("PolicyDocument"), asDefault)
	return one("PolicyVersion", v, func(v *account.Version) versionXML { return versionOf(m, v) }, err)
}

func (s *Server) getPolicyVersion(c *call) (any, error) {
	m, v, err := s.cfg.Accounts.PolicyVersion(c.r.Context(), c.who, c.named(policy), c.get("VersionId"))
	return one("PolicyVersion", v, func(v *account.Version) versionXML {
		out := versionOf(m, v)
		out.Document = encodeText(v.Text)
		return out
	}, err)
}

func (s *Server) listPolicyVersions(c *call) (any, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	m, versions, next, err := s.cfg.Accounts.PolicyVersions(c.r.Context(), c.who, c.named(policy), p)
	return several[versionXML]{"Versions", list(versions, func(v account.Version) versionXML { return versionOf(m, &v) }), ended(next)}, err
}

func (s *Server) setDefaultPolicyVersion(c *call) (any, error) {
	return nil, s.cfg.Accounts.SetDefaultVersion(c.r.Context(), c.who, c.named(policy), c.get("VersionId"))
}

func (s *Server) deletePolicyVersion(c *call) (any, error) {
	return nil, s.cfg.Accounts.DeletePolicyVersion(c.r.Context(), c.who, c.named(policy), c.get("VersionId"))
}

func (s *Server) tagPolicy(c *call) (any, error) {
	return nil, s.cfg.Accounts.TagPolicy(c.r.Context(), c.who, c.named(policy), c.tags("Tags"))
}

func (s *Server) untagPolicy(c *call) (any, error) {
	return nil, s.cfg.Accounts.UntagPolicy(c.r.Context(), c.who, c.named(policy), c.list("TagKeys"))
}

func (s *Server) listPolicyTags(c *call) (any, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	tags, next, err := s.cfg.Accounts.PolicyTags(c.r.Context(), c.who, c.named(policy), p)
	return tagsXML{list(tags, tagOf), ended(next)}, err
}

// filters are the values of EntityFilter.
var filters = map[string]moraine.IdentityKind{"": "", "User": user, "Group": group, "Role": role}

func (s *Server) listEntitiesForPolicy(c *call) (any, error) {
	p, err := c.page()
	if err != nil {
		return nil, err
	}
	prefix, err := c.prefix()
	if err != nil {
		return nil, err
	}
	filter := c.get("EntityFilter")
	kind, ok := filters[filter]
	if !ok && filter != "LocalManagedPolicy" && filter != "AWSManagedPolicy" {
		return nil, validation("1 validation error detected: Value " + quoted(filter) + " at 'entityFilter' failed to satisfy constraint: Member must satisfy enum value set: [User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]")
	}
	usage := c.get("PolicyUsageFilter")
	l, err := s.cfg.Accounts.EntitiesOf(c.r.Context(), c.who, c.named(policy), account.UsersOfPolicy{
		Kind: kind, PathPrefix: prefix, Permission: usage != "PermissionsBoundary", Boundary: usage != "PermissionsPolicy", Page: p,
	})
	type userRef struct{ UserName, UserId string }
	type groupRef struct{ GroupName, GroupId string }
	type roleRef struct{ RoleName, RoleId string }
	var out struct {
		PolicyGroups members[groupRef]
		PolicyUsers  members[userRef]
		PolicyRoles  members[roleRef]
		page
	}
	for _, e := range l.List {
		switch {
		case strings.HasPrefix(e.ID, "AIDA"):
			out.PolicyUsers.Member = append(out.PolicyUsers.Member, userRef{e.Name, e.ID})
		case strings.HasPrefix(e.ID, "AGPA"):
			out.PolicyGroups.Member = append(out.PolicyGroups.Member, groupRef{e.Name, e.ID})
		default:
			out.PolicyRoles.Member = append(out.PolicyRoles.Member, roleRef{e.Name, e.ID})
		}
	}
	out.page = ended(l.Next)
	return out, err
}
