package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/config"
)

// Offline is a data directory that no server is using.
type Offline struct {
	Data      string
	Meta      config.Meta  // where its rows are, if not in it
	MasterKey string       // file with the master keys; "" for that of the directory
	Log       *slog.Logger // zero: discard
}

// CreateAccount makes an account with a root key, which is returned this once.
// With an empty id one is drawn.
func (o Offline) CreateAccount(ctx context.Context, id moraine.AccountID) (root account.Root, err error) {
	err = o.accounts(ctx, func(s *account.Service) error {
		root, err = s.CreateAccount(ctx, id)
		return err
	})
	return root, err
}

// ResetRoot replaces the root keys of an account with a new one, which is
// returned this once.
func (o Offline) ResetRoot(ctx context.Context, id moraine.AccountID) (root account.Root, err error) {
	err = o.accounts(ctx, func(s *account.Service) error {
		root, err = s.ResetRoot(ctx, id)
		return err
	})
	return root, err
}

// accounts runs fn on the identities of the directory.
func (o Offline) accounts(ctx context.Context, fn func(*account.Service) error) (err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d, err := openExisting(o.Data, o.Meta)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	owner, err := d.settleAccount("", account.Root{})
	if err != nil {
		return err
	}
	rows, err := d.openRows(ctx, o.Log, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	keyring, warnings, err := d.settleMaster(ctx, rows, o.MasterKey)
	if err != nil {
		return err
	}
	for _, text := range warnings {
		o.Log.WarnContext(ctx, "check the settings", "warning", text)
	}
	// The bootstrap key has no part in this, so its credentials stay unread.
	s := account.New(account.Config{Meta: rows, Keyring: keyring, Root: account.Root{Account: owner}, Log: o.Log})
	if err := s.Open(ctx); err != nil {
		return fmt.Errorf("open accounts: %w", err)
	}
	return fn(s)
}
