package account

import (
	"context"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// newRole checks and binds what only roles have.
func newRole(tx meta.Tx, n NewEntity) (*RoleProperties, error) {
	if n.Trust == "" {
		return nil, absent("assumeRolePolicyDocument")
	}
	if n.SessionMax == 0 {
		n.SessionMax = roleSessionMin
	}
	if err := checkSessionMax(n.SessionMax); err != nil {
		return nil, err
	}
	if err := checkDescription(n.Description); err != nil {
		return nil, err
	}
	p := &RoleProperties{Description: n.Description, SessionMax: int64(n.SessionMax / time.Second)}
	return p, p.trust(tx, n.Name, n.Trust)
}

func checkSessionMax(d time.Duration) error {
	if d < roleSessionMin || d > roleSessionMax {
		return failf(ValidationError, "1 validation error detected: Value '%d' at 'maxSessionDuration' failed to satisfy constraint: Member must have value from 3600 to 43200", int64(d/time.Second))
	}
	return nil
}

// trust sets the trust policy and notes whom its names mean today.
func (p *RoleProperties) trust(tx meta.Tx, role, text string) error {
	d, err := document(text, policy.Target{Kind: policy.TrustPolicy, Owner: "role " + role})
	if err != nil {
		return err
	}
	b, err := policy.Bind(d, access.Names(tx))
	if err != nil {
		return malformed(err, policy.TrustPolicy)
	}
	p.Trust, p.Bindings = text, b
	return nil
}

// UpdateRole changes description and longest session; nil leaves one as it is.
func (s *Service) UpdateRole(ctx context.Context, c Call, name string, description *string, sessionMax *time.Duration) error {
	return s.role(ctx, c, "iam:UpdateRole", name, func(_ meta.Tx, e *Entity) error {
		if description != nil {
			if err := checkDescription(*description); err != nil {
				return err
			}
			e.Role.Description = *description
		}
		if sessionMax != nil {
			if err := checkSessionMax(*sessionMax); err != nil {
				return err
			}
			e.Role.SessionMax = int64(*sessionMax / time.Second)
		}
		return nil
	})
}

// SetTrust replaces the trust policy of a role.
func (s *Service) SetTrust(ctx context.Context, c Call, name, text string) error {
	err := s.role(ctx, c, "iam:UpdateAssumeRolePolicy", name, func(tx meta.Tx, e *Entity) error {
		return e.Role.trust(tx, name, text)
	})
	if err == nil {
		s.privileged(ctx, &c, "iam:UpdateAssumeRolePolicy", name)
	}
	return err
}

// RevokeSessions ends all sessions of a role that have begun, and returns the
// instant before which a session must have begun to be over: the end of the
// second, since sessions count whole ones.
func (s *Service) RevokeSessions(ctx context.Context, c Call, name string) (before time.Time, err error) {
	err = s.role(ctx, c, "iam:RevokeRoleSessions", name, func(_ meta.Tx, e *Entity) error {
		e.Role.Revocations++
		e.Role.RevokeBefore = max(e.Role.RevokeBefore, s.birth().Add(time.Second).Unix())
		before = time.Unix(e.Role.RevokeBefore, 0).UTC()
		return nil
	})
	return before, err
}

func (s *Service) role(ctx context.Context, c Call, action, name string, fn func(meta.Tx, *Entity) error) error {
	return s.change(ctx, func(tx meta.Tx) error {
		e, err := s.admit(tx, &c, action, moraine.RoleIdentity, name)
		if err != nil {
			return err
		}
		if err := fn(tx, e); err != nil {
			return err
		}
		return save(tx, e)
	})
}
