package account

import (
	"context"
	"strings"

	"moraine"
	"moraine/internal/meta"
)

// Summary returns counts and quotas of the account by the names of
// GetAccountSummary.
func (s *Service) Summary(ctx context.Context, c Call) (map[string]int, error) {
	return view(ctx, s, func(tx meta.Tx) (map[string]int, error) {
		if err := s.authorize(tx, &c, "iam:GetAccountSummary", "*"); err != nil {
			return nil, err
		}
		m := map[string]int{
			"AccessKeysPerUserQuota": keysPerUser, "GroupsPerUserQuota": groupsPerUser, "VersionsPerPolicyQuota": versionsMax,
			"AttachedPoliciesPerUserQuota": attachedMax, "AttachedPoliciesPerGroupQuota": attachedMax, "AttachedPoliciesPerRoleQuota": attachedMax,
			"UsersQuota": usersMax, "GroupsQuota": groupsMax, "RolesQuota": rolesMax, "PoliciesQuota": policiesMax,
			"UserPolicySizeQuota": userInlineMax, "GroupPolicySizeQuota": groupInlineMax, "RolePolicySizeQuota": roleInlineMax,
			"PolicySizeQuota": 6144, "AssumeRolePolicySizeQuota": 2048,
			"MFADevices": 0, "MFADevicesInUse": 0, "AccountMFAEnabled": 0, "ServerCertificates": 0, "Providers": 0,
			"InstanceProfiles": 0, "AccountAccessKeysPresent": 1,
		}
		for kind, name := range map[moraine.IdentityKind]string{
			moraine.UserIdentity: "Users", moraine.GroupIdentity: "Groups", moraine.RoleIdentity: "Roles", moraine.PolicyIdentity: "Policies",
		} {
			n, err := tx.Identities().Count(c.Principal.Account, kind)
			if err != nil {
				return nil, err
			}
			m[name] = n
		}
		return m, nil
	})
}

// Nothing authorizes an operation of IAM that has nothing to answer with: a
// list of things Moraine does not keep. A user or role it names must exist.
func (s *Service) Nothing(ctx context.Context, c Call, operation string, kind moraine.IdentityKind, name string) error {
	_, err := view(ctx, s, func(tx meta.Tx) (*Entity, error) {
		if name != "" {
			return s.admit(tx, &c, "iam:"+operation, kind, name)
		}
		resource := "*"
		if !strings.HasPrefix(operation, "ListVirtual") && !strings.HasPrefix(operation, "ListAccount") {
			resource = c.Principal.ARN
		}
		return nil, s.authorize(tx, &c, "iam:"+operation, resource)
	})
	return err
}

// CreateAccount makes an account with a root key of its own. Only the operator
// of the server can ask for it. With an empty id one is drawn.
func (s *Service) CreateAccount(ctx context.Context, id moraine.AccountID) (Root, error) {
	return update(ctx, s, func(tx meta.Tx) (Root, error) {
		fresh := Generate()
		if id != "" {
			fresh.Account = id
		}
		if err := fresh.Validate(); err != nil {
			return Root{}, failf(ValidationError, "%v", err)
		}
		if _, err := tx.Accounts().Get(fresh.Account); err == nil {
			return Root{}, failf(EntityAlreadyExists, "Account %s already exists.", fresh.Account)
		}
		if err := tx.Accounts().Insert(moraine.Account{ID: fresh.Account, Created: s.instant()}); err != nil {
			return Root{}, err
		}
		k, err := s.newKey(tx, fresh.Account, owner{id: string(fresh.Account), root: true})
		return Root{Account: fresh.Account, KeyID: k.ID, Secret: k.Secret}, err
	})
}

// ResetRoot gives an account a new root key in place of those it has, whose
// sessions end with them. Only the operator of the server can ask for it. The
// account whose root needs no rows has its key elsewhere.
func (s *Service) ResetRoot(ctx context.Context, id moraine.AccountID) (Root, error) {
	return update(ctx, s, func(tx meta.Tx) (Root, error) {
		if id == s.root.Account {
			return Root{}, failf(InvalidInput, "The root key of account %s is not in the database.", id)
		}
		if _, err := tx.Accounts().Get(id); err != nil {
			return Root{}, missing(err, "The account %s cannot be found.", echo(string(id)))
		}
		list, err := tx.AccessKeys().List(id, string(id), keysPerUser)
		if err != nil {
			return Root{}, err
		}
		for _, k := range list {
			if err := tx.AccessKeys().Delete(k.ID); err != nil {
				return Root{}, err
			}
		}
		k, err := s.newKey(tx, id, owner{id: string(id), root: true})
		return Root{Account: id, KeyID: k.ID, Secret: k.Secret}, err
	})
}
