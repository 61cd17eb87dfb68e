package account

import (
	"context"
	"errors"
	"slices"

	"moraine"
	"moraine/internal/meta"
)

// Join adds a user to a group. Doing it again is no error.
func (s *Service) Join(ctx context.Context, c Call, group, user string) error {
	err := s.member(ctx, c, "iam:AddUserToGroup", group, user, func(g, u *Entity) error {
		if slices.Contains(u.Groups, g.ID) {
			return nil
		}
		if len(u.Groups) >= groupsPerUser {
			return overQuota("GroupsPerUser", groupsPerUser)
		}
		u.Groups = append(u.Groups, g.ID)
		g.Members++
		return nil
	})
	if err == nil {
		s.privileged(ctx, &c, "iam:AddUserToGroup", group+" "+user)
	}
	return err
}

// Leave removes a user from a group. That it is not in it is no error.
func (s *Service) Leave(ctx context.Context, c Call, group, user string) error {
	return s.member(ctx, c, "iam:RemoveUserFromGroup", group, user, func(g, u *Entity) error {
		if i := slices.Index(u.Groups, g.ID); i >= 0 {
			u.Groups = slices.Delete(u.Groups, i, i+1)
			g.Members--
		}
		return nil
	})
}

func (s *Service) member(ctx context.Context, c Call, action, group, user string, fn func(g, u *Entity) error) error {
	return s.change(ctx, func(tx meta.Tx) error {
		g, err := s.admit(tx, &c, action, moraine.GroupIdentity, group)
		if err != nil {
			return err
		}
		if err := checkName(user, "userName", groupNameMax); err != nil {
			return err
		}
		u, err := find(tx, g.Account, moraine.UserIdentity, user)
		if err != nil {
			return err
		}
		if err := fn(g, u); err != nil {
			return err
		}
		return errors.Join(save(tx, g), save(tx, u))
	})
}

// Members is a group with a page of its users.
type Members struct {
	Group *Entity
	Entities
}

// Members returns a group and its users in order of name.
func (s *Service) Members(ctx context.Context, c Call, group string, p Page) (Members, error) {
	return view(ctx, s, func(tx meta.Tx) (m Members, err error) {
		if m.Group, err = s.admit(tx, &c, "iam:GetGroup", moraine.GroupIdentity, group); err != nil {
			return m, err
		}
		m.List, m.Next, err = pageOf(tx, m.Group.Account, moraine.UserIdentity, p, func(row moraine.Identity) (*Entity, bool, error) {
			e, err := readEntity(row)
			return e, err == nil && slices.Contains(e.Groups, m.Group.ID), err
		})
		return m, err
	})
}

// GroupsOf returns the groups of a user.
func (s *Service) GroupsOf(ctx context.Context, c Call, user string, p Page) (Entities, error) {
	return view(ctx, s, func(tx meta.Tx) (Entities, error) {
		u, err := s.admit(tx, &c, "iam:ListGroupsForUser", moraine.UserIdentity, user)
		if err != nil {
			return Entities{}, err
		}
		var list []*Entity
		for _, id := range u.Groups {
			row, err := tx.Identities().ByID(id)
			if err != nil {
				return Entities{}, damaged(err, u)
			}
			g, err := readEntity(row)
			if err != nil {
				return Entities{}, err
			}
			list = append(list, g)
		}
		page, next, err := cut(list, p)
		return Entities{page, next}, err
	})
}
