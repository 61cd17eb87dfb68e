package vault

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/audit"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// The lock of a vault goes from none to in progress to locked (access-control
// §6.1). In progress it is withdrawn by AbortVaultLock, or by itself after
// moraine.LockWindow: from that instant on it is treated as none, whether or
// not the sweep has removed it. Locked, it ends with the vault only. Each step
// is one transaction, so of two that race one finds the state the other left.

// lockOf returns the lock of a vault and whether it has one in force.
func (s *Service) lockOf(tx meta.Tx, v *moraine.Vault) (moraine.Lock, bool, error) {
	l, err := tx.Documents().Locks().Get(v.ID)
	if errors.Is(err, meta.ErrNotFound) {
		return l, false, nil
	}
	return l, err == nil && !l.Over(s.now()), err
}

func alreadyLocked(v *moraine.Vault) error {
	return moraine.Errorf(moraine.Locked, "Vault is already locked: %s", v.ARN())
}

// InitiateVaultLock puts a lock policy in force and returns the id that
// completes the lock, which is told nowhere else (§10.5).
func (s *Service) InitiateVaultLock(ctx context.Context, call access.Call, name string, sent PolicyText) (string, error) {
	id, d := moraine.NewLockID(), newDraft(sent, policy.LockPolicy)
	var expired map[string]any
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		expired = nil
		v, p, err := s.enterWithPolicy(tx, call, "InitiateVaultLock", name, d)
		if err != nil {
			return err
		}
		l, held, err := s.lockOf(tx, &v)
		switch {
		case err != nil:
			return err
		case held && l.State == moraine.LockLocked:
			return alreadyLocked(&v)
		case held:
			return moraine.Errorf(moraine.Locked, "Vault lock is already in progress for: %s", v.ARN())
		case l.State != "":
			expired = expiry(&v, &l)
		}
		now := s.now()
		l = moraine.Lock{
			Vault: v.ID, Policy: p, State: moraine.LockInProgress, Proof: sha256.Sum256([]byte(id)),
			Created: now, Expires: now.Add(moraine.LockWindow),
		}
		return saveLock(tx, &v, l)
	})
	if err != nil {
		return "", err
	}
	if expired != nil {
		s.cfg.Notice(audit.LockExpired, expired) // the sweep will not find it
	}
	s.warn(ctx, name, d)
	return id, nil
}

// expiry is what is on record of a lock that was not completed in time.
func expiry(v *moraine.Vault, l *moraine.Lock) map[string]any {
	return map[string]any{"vault": v.ARN(), "initiated": audit.Stamp(l.Created), "expired": audit.Stamp(l.Expires)}
}

// CompleteVaultLock makes a lock in progress final; with the right id it may
// be repeated (§10.5).
func (s *Service) CompleteVaultLock(ctx context.Context, call access.Call, name, id string) error {
	proof := sha256.Sum256([]byte(id))
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "CompleteVaultLock", name, nil)
		if err != nil {
			return err
		}
		l, held, err := s.lockOf(tx, &v)
		if err != nil {
			return err
		}
		right := subtle.ConstantTimeCompare(proof[:], l.Proof[:]) == 1
		switch {
		case !held:
			return moraine.Errorf(moraine.NotFound, "No vault lock in progress for: %s", v.ARN())
		case !right && l.State == moraine.LockLocked:
			return alreadyLocked(&v)
		case !right:
			return moraine.Errorf(moraine.Invalid, "Invalid lock ID: %s", id)
		case l.State == moraine.LockLocked:
			return nil
		}
		l.State, l.Expires = moraine.LockLocked, time.Time{}
		return saveLock(tx, &v, l)
	})
}

// AbortVaultLock withdraws a lock in progress; that there is none is no error
// (§10.5).
func (s *Service) AbortVaultLock(ctx context.Context, call access.Call, name string) error {
	var expired map[string]any
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		expired = nil
		v, err := s.enter(tx, call, "AbortVaultLock", name, nil)
		if err != nil {
			return err
		}
		l, held, err := s.lockOf(tx, &v)
		switch {
		case err != nil:
			return err
		case l.State == moraine.LockLocked:
			return alreadyLocked(&v)
		case l.State == "":
			return nil
		case !held:
			expired = expiry(&v, &l)
		}
		return dropLock(tx, &v)
	})
	if err == nil && expired != nil {
		s.cfg.Notice(audit.LockExpired, expired) // the sweep will not find it
	}
	return err
}

// GetVaultLock returns the lock of a vault (§10.5).
func (s *Service) GetVaultLock(ctx context.Context, call access.Call, name string) (moraine.Lock, error) {
	var l moraine.Lock
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "GetVaultLock", name, nil)
		if err != nil {
			return err
		}
		var held bool
		if l, held, err = s.lockOf(tx, &v); err == nil && !held {
			err = moraine.Errorf(moraine.NotFound, "No vault lock policy is set for: %s", name)
		}
		return err
	})
	return l, err
}

func saveLock(tx meta.Tx, v *moraine.Vault, l moraine.Lock) error {
	if err := tx.Documents().Locks().Save(l); err != nil {
		return err
	}
	return revise(tx, v)
}

func dropLock(tx meta.Tx, v *moraine.Vault) error {
	if err := tx.Documents().Locks().Drop(v.ID); err != nil {
		return err
	}
	return revise(tx, v)
}

// dropLocks removes locks that were not completed in time.
func (s *Service) dropLocks(ctx context.Context) (int, error) {
	now := s.clock.Past()
	over := func(tx meta.Tx, limit int) ([]moraine.Lock, error) { return tx.Documents().Locks().Over(now, limit) }
	some, err := s.due(ctx, func(tx meta.Tx) (int, error) {
		locks, err := over(tx, 1)
		return len(locks), err
	})
	if err != nil || !some {
		return 0, err
	}
	var gone []map[string]any
	n, err := s.update(ctx, func(tx meta.Tx) (int, error) {
		gone = gone[:0]
		locks, err := over(tx, sweepBatch)
		if err != nil {
			return 0, err
		}
		for _, l := range locks {
			v, err := tx.Vaults().ByID(l.Vault)
			if err != nil {
				return 0, err // a lock never outlives its vault
			}
			if err := dropLock(tx, &v); err != nil {
				return 0, err
			}
			gone = append(gone, expiry(&v, &l))
		}
		return len(locks), nil
	})
	if err != nil {
		return n, err
	}
	for _, details := range gone {
		s.cfg.Notice(audit.LockExpired, details)
		s.cfg.Notice(audit.LockSwept, details)
	}
	return n, nil
}
