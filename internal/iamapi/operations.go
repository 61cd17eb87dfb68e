package iamapi

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"moraine"
	"moraine/internal/account"
)

// handler runs an operation and returns what goes into its Result element, nil
// for none.
type handler func(*Server, *call) (any, error)

const (
	user   = moraine.UserIdentity
	group  = moraine.GroupIdentity
	role   = moraine.RoleIdentity
	policy = moraine.PolicyIdentity
)

// operations is the table of access-control §2.3 by service and name.
var operations = map[string]handler{
	"iam:CreateUser":                    (*Server).createUser,
	"iam:GetUser":                       (*Server).getUser,
	"iam:ListUsers":                     (*Server).listUsers,
	"iam:UpdateUser":                    rename(user, "NewUserName"),
	"iam:DeleteUser":                    drop(user),
	"iam:CreateAccessKey":               (*Server).createAccessKey,
	"iam:ListAccessKeys":                (*Server).listAccessKeys,
	"iam:UpdateAccessKey":               (*Server).updateAccessKey,
	"iam:DeleteAccessKey":               (*Server).deleteAccessKey,
	"iam:GetAccessKeyLastUsed":          (*Server).getAccessKeyLastUsed,
	"iam:PutUserPolicy":                 putInline(user),
	"iam:GetUserPolicy":                 getInline(user),
	"iam:DeleteUserPolicy":              deleteInline(user),
	"iam:ListUserPolicies":              listInline(user),
	"iam:ListGroupsForUser":             (*Server).listGroupsForUser,
	"iam:ListAttachedUserPolicies":      listAttached(user),
	"iam:AttachUserPolicy":              attach(user),
	"iam:DetachUserPolicy":              detach(user),
	"iam:TagUser":                       tag(user),
	"iam:UntagUser":                     untag(user),
	"iam:ListUserTags":                  listTags(user),
	"iam:PutUserPermissionsBoundary":    putBoundary(user),
	"iam:DeleteUserPermissionsBoundary": deleteBoundary(user),

	"iam:CreateGroup":               (*Server).createGroup,
	"iam:GetGroup":                  (*Server).getGroup,
	"iam:ListGroups":                (*Server).listGroups,
	"iam:UpdateGroup":               rename(group, "NewGroupName"),
	"iam:DeleteGroup":               drop(group),
	"iam:AddUserToGroup":            (*Server).addUserToGroup,
	"iam:RemoveUserFromGroup":       (*Server).removeUserFromGroup,
	"iam:PutGroupPolicy":            putInline(group),
	"iam:GetGroupPolicy":            getInline(group),
	"iam:DeleteGroupPolicy":         deleteInline(group),
	"iam:ListGroupPolicies":         listInline(group),
	"iam:ListAttachedGroupPolicies": listAttached(group),
	"iam:AttachGroupPolicy":         attach(group),
	"iam:DetachGroupPolicy":         detach(group),

	"iam:CreatePolicy":            (*Server).createPolicy,
	"iam:GetPolicy":               (*Server).getPolicy,
	"iam:ListPolicies":            (*Server).listPolicies,
	"iam:DeletePolicy":            (*Server).deletePolicy,
	"iam:CreatePolicyVersion":     (*Server).createPolicyVersion,
	"iam:GetPolicyVersion":        (*Server).getPolicyVersion,
	"iam:ListPolicyVersions":      (*Server).listPolicyVersions,
	"iam:SetDefaultPolicyVersion": (*Server).setDefaultPolicyVersion,
	"iam:DeletePolicyVersion":     (*Server).deletePolicyVersion,
	"iam:ListEntitiesForPolicy":   (*Server).listEntitiesForPolicy,
	"iam:TagPolicy":               (*Server).tagPolicy,
	"iam:UntagPolicy":             (*Server).untagPolicy,
	"iam:ListPolicyTags":          (*Server).listPolicyTags,

	"iam:CreateRole":                    (*Server).createRole,
	"iam:GetRole":                       (*Server).getRole,
	"iam:ListRoles":                     (*Server).listRoles,
	"iam:UpdateRole":                    (*Server).updateRole,
	"iam:UpdateRoleDescription":         (*Server).updateRoleDescription,
	"iam:DeleteRole":                    drop(role),
	"iam:UpdateAssumeRolePolicy":        (*Server).updateAssumeRolePolicy,
	"iam:RevokeRoleSessions":            (*Server).revokeRoleSessions,
	"iam:PutRolePolicy":                 putInline(role),
	"iam:GetRolePolicy":                 getInline(role),
	"iam:DeleteRolePolicy":              deleteInline(role),
	"iam:ListRolePolicies":              listInline(role),
	"iam:ListAttachedRolePolicies":      listAttached(role),
	"iam:AttachRolePolicy":              attach(role),
	"iam:DetachRolePolicy":              detach(role),
	"iam:TagRole":                       tag(role),
	"iam:UntagRole":                     untag(role),
	"iam:ListRoleTags":                  listTags(role),
	"iam:PutRolePermissionsBoundary":    putBoundary(role),
	"iam:DeleteRolePermissionsBoundary": deleteBoundary(role),

	"iam:ListSSHPublicKeys":              stub("ListSSHPublicKeys", "SSHPublicKeys", user),
	"iam:ListMFADevices":                 stub("ListMFADevices", "MFADevices", user),
	"iam:ListVirtualMFADevices":          stub("ListVirtualMFADevices", "VirtualMFADevices", ""),
	"iam:ListSigningCertificates":        stub("ListSigningCertificates", "Certificates", user),
	"iam:ListServiceSpecificCredentials": stub("ListServiceSpecificCredentials", "ServiceSpecificCredentials", user),
	"iam:ListAccountAliases":             stub("ListAccountAliases", "AccountAliases", ""),
	"iam:ListInstanceProfilesForRole":    stub("ListInstanceProfilesForRole", "InstanceProfiles", role),
	"iam:GetLoginProfile":                noLoginProfile("GetLoginProfile"),
	"iam:DeleteLoginProfile":             noLoginProfile("DeleteLoginProfile"),
	"iam:GetAccountSummary":              (*Server).getAccountSummary,
	"iam:SimulatePrincipalPolicy":        (*Server).simulatePrincipalPolicy,

	"sts:GetCallerIdentity": (*Server).getCallerIdentity,
	"sts:AssumeRole":        (*Server).assumeRole,
	"sts:GetSessionToken":   (*Server).getSessionToken,
}

// parameter is the name of the parameter that names an entity.
func parameter(kind moraine.IdentityKind) string {
	switch kind {
	case group:
		return "GroupName"
	case role:
		return "RoleName"
	case policy:
		return "PolicyArn"
	case user:
	}
	return "UserName"
}

// named is the entity the request names.
func (c *call) named(kind moraine.IdentityKind) string { return c.get(parameter(kind)) }

func rename(kind moraine.IdentityKind, newName string) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.Rename(c.r.Context(), c.who, kind, c.named(kind), c.get(newName), c.get("NewPath"))
	}
}

func drop(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.Delete(c.r.Context(), c.who, kind, c.named(kind))
	}
}

func putInline(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.PutInline(c.r.Context(), c.who, kind, c.named(kind), c.get("PolicyName"), c.get("PolicyDocument"))
	}
}

// inlineXML is an inline policy with the name of its owner, one of three.
type inlineXML struct {
	UserName       string `xml:",omitempty"`
	GroupName      string `xml:",omitempty"`
	RoleName       string `xml:",omitempty"`
	PolicyName     string
	PolicyDocument string
}

func getInline(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		name := c.named(kind)
		text, err := s.cfg.Accounts.Inline(c.r.Context(), c.who, kind, name, c.get("PolicyName"))
		out := inlineXML{PolicyName: c.get("PolicyName"), PolicyDocument: encodeText(text)}
		switch kind {
		case user:
			out.UserName = name
		case group:
			out.GroupName = name
		case role, policy:
			out.RoleName = name
		}
		return out, err
	}
}

func deleteInline(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.DeleteInline(c.r.Context(), c.who, kind, c.named(kind), c.get("PolicyName"))
	}
}

func listInline(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		p, err := c.page()
		if err != nil {
			return nil, err
		}
		names, next, err := s.cfg.Accounts.ListInline(c.r.Context(), c.who, kind, c.named(kind), p)
		return struct {
			PolicyNames members[string]
			page
		}{members[string]{names}, ended(next)}, err
	}
}

func attach(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.Attach(c.r.Context(), c.who, kind, c.named(kind), c.get("PolicyArn"))
	}
}

func detach(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.Detach(c.r.Context(), c.who, kind, c.named(kind), c.get("PolicyArn"))
	}
}

func listAttached(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		p, err := c.page()
		if err != nil {
			return nil, err
		}
		prefix, err := c.prefix()
		if err != nil {
			return nil, err
		}
		arns, next, err := s.cfg.Accounts.Attached(c.r.Context(), c.who, kind, c.named(kind), prefix, p)
		return struct {
			AttachedPolicies members[attachedXML]
			page
		}{list(arns, attachedOf), ended(next)}, err
	}
}

func tag(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.Tag(c.r.Context(), c.who, kind, c.named(kind), c.tags("Tags"))
	}
}

func untag(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.Untag(c.r.Context(), c.who, kind, c.named(kind), c.list("TagKeys"))
	}
}

// tagsXML is a page of tags.
type tagsXML struct {
	Tags members[tagXML]
	page
}

func listTags(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		p, err := c.page()
		if err != nil {
			return nil, err
		}
		tags, next, err := s.cfg.Accounts.Tags(c.r.Context(), c.who, kind, c.named(kind), p)
		return tagsXML{list(tags, tagOf), ended(next)}, err
	}
}

func putBoundary(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.SetBoundary(c.r.Context(), c.who, kind, c.named(kind), c.get("PermissionsBoundary"))
	}
}

func deleteBoundary(kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		return nil, s.cfg.Accounts.DropBoundary(c.r.Context(), c.who, kind, c.named(kind))
	}
}

// stub answers with an empty list of things Moraine does not keep.
func stub(operation, element string, kind moraine.IdentityKind) handler {
	return func(s *Server, c *call) (any, error) {
		name := ""
		if kind != "" {
			name = c.named(kind)
		}
		if err := s.cfg.Accounts.Nothing(c.r.Context(), c.who, operation, kind, name); err != nil {
			return nil, err
		}
		return emptyList(element), nil
	}
}

// noLoginProfile answers that there is none: there is no console to log in to.
func noLoginProfile(operation string) handler {
	return func(s *Server, c *call) (any, error) {
		name := c.get("UserName")
		if err := s.cfg.Accounts.Nothing(c.r.Context(), c.who, operation, user, name); err != nil {
			return nil, err
		}
		return nil, &account.Error{Code: account.NoSuchEntity, Message: "Login Profile for User " + name + " cannot be found."}
	}
}

func (s *Server) getAccountSummary(c *call) (any, error) {
	m, err := s.cfg.Accounts.Summary(c.r.Context(), c.who)
	type entry struct {
		Key   string `xml:"key"`
		Value int    `xml:"value"`
	}
	var out struct {
		Entries []entry `xml:"SummaryMap>entry"`
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out.Entries = append(out.Entries, entry{key, m[key]})
	}
	return out, err
}

func (s *Server) getCallerIdentity(c *call) (any, error) {
	id, arn, a := account.Caller(&c.who)
	return struct{ Arn, UserId, Account string }{arn, id, string(a)}, nil
}

func (s *Server) assumeRole(c *call) (any, error) {
	if c.get("SerialNumber") != "" || c.get("TokenCode") != "" {
		return nil, moraine.Errorf(moraine.Denied, "MultiFactorAuthentication failed with invalid MFA one time pass code.")
	}
	d, err := c.seconds("DurationSeconds")
	if err != nil {
		return nil, err
	}
	in := account.AssumeRole{
		RoleARN: c.get("RoleArn"), SessionName: c.get("RoleSessionName"), Policy: c.get("Policy"), Tags: c.tags("Tags"),
		Transitive: c.list("TransitiveTagKeys"), ExternalID: c.get("ExternalId"), SourceIdentity: c.get("SourceIdentity"),
	}
	if d != nil {
		in.Duration = max(*d, time.Second) // zero is not the default here
	}
	for i := 1; c.params.Has(sessionPolicy(i)) && i <= listMax; i++ {
		in.Policies = append(in.Policies, c.get(sessionPolicy(i)))
	}
	out, err := s.cfg.Accounts.AssumeRole(c.r.Context(), c.who, in)
	type roleUser struct{ AssumedRoleId, Arn string }
	return struct {
		Credentials      credentialsXML
		AssumedRoleUser  roleUser
		PackedPolicySize int
		SourceIdentity   string `xml:",omitempty"`
	}{credentialsOf(out.Credentials), roleUser{out.ID, out.ARN}, out.PackedSize, out.SourceIdentity}, err
}

func sessionPolicy(i int) string { return "PolicyArns.member." + strconv.Itoa(i) + ".arn" }

func (s *Server) getSessionToken(c *call) (any, error) {
	if c.get("SerialNumber") != "" || c.get("TokenCode") != "" {
		return nil, moraine.Errorf(moraine.Denied, "MultiFactorAuthentication failed with invalid MFA one time pass code.")
	}
	d, err := c.seconds("DurationSeconds")
	if err != nil {
		return nil, err
	}
	var asked time.Duration
	if d != nil {
		asked = max(*d, time.Second)
	}
	out, err := s.cfg.Accounts.SessionToken(c.r.Context(), c.who, asked)
	return struct{ Credentials credentialsXML }{credentialsOf(out)}, err
}
