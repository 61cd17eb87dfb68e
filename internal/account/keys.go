package account

import (
	"context"
	"errors"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/sigv4"
)

// Key is an access key as operations show it.
type Key struct {
	moraine.AccessKey
	UserName string       // "" for root
	Secret   sigv4.Secret // of a key just made
}

// owner is who keys belong to: a user, or the root who calls.
type owner struct {
	id, name string
	root     bool
}

// keyOwner finds the owner an operation on keys names. Without a name it is
// the caller.
func (s *Service) keyOwner(tx meta.Tx, c *Call, action, user string) (owner, error) {
	if user == "" && c.Principal.Root {
		return owner{id: string(c.Principal.Account), root: true}, nil
	}
	if user == "" {
		var err error
		if user, err = ownName(c); err != nil {
			return owner{}, err
		}
	}
	u, err := s.admit(tx, c, action, moraine.UserIdentity, user)
	if err != nil {
		return owner{}, err
	}
	return owner{id: u.ID, name: u.Name}, nil
}

// CreateKey makes an access key for a user, or for the caller if user is "".
func (s *Service) CreateKey(ctx context.Context, c Call, user string) (Key, error) {
	k, err := update(ctx, s, func(tx meta.Tx) (Key, error) {
		o, err := s.keyOwner(tx, &c, "iam:CreateAccessKey", user)
		if err != nil {
			return Key{}, err
		}
		return s.newKey(tx, c.Principal.Account, o)
	})
	if err == nil {
		s.privileged(ctx, &c, "iam:CreateAccessKey", k.UserName)
	}
	return k, err
}

func (s *Service) newKey(tx meta.Tx, a moraine.AccountID, o owner) (Key, error) {
	list, err := tx.AccessKeys().List(a, o.id, keysPerUser)
	if err != nil {
		return Key{}, err
	}
	if len(list) >= keysPerUser {
		return Key{}, overQuota("AccessKeysPerUser", keysPerUser)
	}
	id, plain := newKeyID(), secret()
	k := Key{UserName: o.name, Secret: sigv4.Secret(plain)}
	k.AccessKey = moraine.AccessKey{
		ID: id, Account: a, Owner: o.id, Active: true, Created: s.birth(), Sealed: s.keyring.Seal([]byte(plain), secretName(id)),
	}
	return k, tx.AccessKeys().Save(k.AccessKey)
}

// Keys returns the access keys of a user, or of the caller if user is "". The
// bootstrap key of a root is not among them: it has no row.
func (s *Service) Keys(ctx context.Context, c Call, user string, p Page) (keys []Key, next string, err error) {
	keys, err = view(ctx, s, func(tx meta.Tx) ([]Key, error) {
		o, err := s.keyOwner(tx, &c, "iam:ListAccessKeys", user)
		if err != nil {
			return nil, err
		}
		rows, err := tx.AccessKeys().List(c.Principal.Account, o.id, keysPerUser)
		list := make([]Key, len(rows))
		for i, row := range rows {
			list[i] = Key{AccessKey: row, UserName: o.name}
		}
		return list, err
	})
	if err != nil {
		return nil, "", err
	}
	return cut(keys, p)
}

// SetKeyActive lets a key work or not. It is in force for the next call.
func (s *Service) SetKeyActive(ctx context.Context, c Call, user, keyID string, active bool) error {
	return s.change(ctx, func(tx meta.Tx) error {
		k, err := s.ownedKey(tx, &c, "iam:UpdateAccessKey", user, keyID)
		if err != nil {
			return err
		}
		if !active {
			if err := s.notLast(tx, k); err != nil {
				return err
			}
		}
		k.Active = active
		return tx.AccessKeys().Save(k)
	})
}

// DeleteKey removes a key.
func (s *Service) DeleteKey(ctx context.Context, c Call, user, keyID string) error {
	return s.change(ctx, func(tx meta.Tx) error {
		k, err := s.ownedKey(tx, &c, "iam:DeleteAccessKey", user, keyID)
		if err != nil {
			return err
		}
		if err := s.notLast(tx, k); err != nil {
			return err
		}
		return tx.AccessKeys().Delete(k.ID)
	})
}

// ownedKey finds a key of a user, or of the caller if user is "".
func (s *Service) ownedKey(tx meta.Tx, c *Call, action, user, keyID string) (moraine.AccessKey, error) {
	if keyID == "" {
		return moraine.AccessKey{}, absent("accessKeyId")
	}
	o, err := s.keyOwner(tx, c, action, user)
	if err != nil {
		return moraine.AccessKey{}, err
	}
	if keyID == s.root.KeyID && o.root && c.Principal.Account == s.root.Account {
		return moraine.AccessKey{}, failf(UnmodifiableEntity, "The key %s is kept outside the database by the operator of the server.", echo(keyID))
	}
	k, err := tx.AccessKeys().Get(keyID)
	switch {
	case errors.Is(err, meta.ErrNotFound), err == nil && (k.Account != c.Principal.Account || k.Owner != o.id):
		return moraine.AccessKey{}, noSuchKey(echo(keyID))
	}
	return k, err
}

// notLast keeps the last active key of a root that has no bootstrap key, so
// that an account is never without a way in (access-control §2.5).
func (s *Service) notLast(tx meta.Tx, k moraine.AccessKey) error {
	if !k.Active || k.Owner != string(k.Account) || k.Account == s.root.Account {
		return nil
	}
	list, err := tx.AccessKeys().List(k.Account, k.Owner, keysPerUser)
	if err != nil {
		return err
	}
	for _, other := range list {
		if other.Active && other.ID != k.ID {
			return nil
		}
	}
	return failf(DeleteConflict, "The last active key of the root of an account cannot be deleted or deactivated.")
}

// KeyUse returns when a key of the account was used last.
func (s *Service) KeyUse(ctx context.Context, c Call, keyID string) (Key, error) {
	if keyID == "" {
		return Key{}, absent("accessKeyId")
	}
	return view(ctx, s, func(tx meta.Tx) (Key, error) {
		row, err := tx.AccessKeys().Get(keyID)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return Key{}, err
		}
		known := err == nil && row.Account == c.Principal.Account
		k := Key{AccessKey: row}
		arn := rootARN(c.Principal.Account)
		if known && row.Owner != string(row.Account) {
			u, err := tx.Identities().ByID(row.Owner)
			if err != nil {
				return Key{}, missing(err, "The Access Key with id %s cannot be found", echo(keyID))
			}
			k.UserName, arn = u.ARN[lastSlash(u.ARN):], u.ARN
		}
		if err := s.authorize(tx, &c, "iam:GetAccessKeyLastUsed", arn); err != nil {
			return Key{}, err
		}
		if !known {
			return Key{}, noSuchKey(echo(keyID))
		}
		k.Used = s.lastUse(row)
		return k, nil
	})
}
