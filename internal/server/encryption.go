package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"moraine/internal/adminapi"
	"moraine/internal/adminclient"
	"moraine/internal/audit"
	"moraine/internal/blob/crypt"
	"moraine/internal/blobkeys"
	"moraine/internal/config"
	"moraine/internal/meta"
)

// openKeys assembles the service of the keys of encrypted archives from the
// settings. It reads key files and asks nobody. use is given the keys whenever
// they change; nil for nobody.
func (d *data) openKeys(
	ctx context.Context, cfg config.Encryption, rows meta.Store, use func(*crypt.Ring), now func() time.Time, log *slog.Logger,
) (*blobkeys.Service, error) {
	c := blobkeys.Config{Meta: rows, Use: use, Now: now, Log: log}
	for _, m := range []struct {
		cfg  *config.Master
		name string
		to   *blobkeys.Master
	}{{&cfg.Master, "encryption", &c.Master}, {&cfg.Old, "encryption.old", &c.Old}} {
		if !m.cfg.On() {
			continue
		}
		var err error
		if *m.to, err = openMaster(ctx, m.cfg, m.name); err != nil {
			return nil, err
		}
		for _, text := range d.keyFileWarnings(m.cfg.KeyFile) {
			log.WarnContext(ctx, "check the settings", "warning", text)
		}
	}
	return blobkeys.New(c), nil
}

// startKeys gives the store of blobs its keys, and makes the first one if there
// is none.
func (d *data) startKeys(ctx context.Context, cfg config.Encryption, s *stores, now func() time.Time, log *slog.Logger) (err error) {
	if s.keys, err = d.openKeys(ctx, cfg, s.rows, s.blobs.SetRing, now, log); err != nil {
		return err
	}
	if err := explainKeys(s.keys.Open(ctx)); err != nil {
		return err
	}
	st, err := s.keys.Status(ctx)
	if err == nil && st.Master != "" {
		log.InfoContext(ctx, "archives are encrypted", "master", st.Master, "keys", len(st.Keys), "wrapped_elsewhere", st.Elsewhere())
	}
	return err
}

// masterSettings are the settings that name a master, by the kind in its name.
var masterSettings = map[string]string{"file": "encryption.key_file", "kms": "encryption.kms_key", "vault": "encryption.vault_addr"}

// explainKeys adds to an error what an operator can do.
func explainKeys(err error) error {
	var unknown *blobkeys.UnknownMasterError
	switch {
	case errors.As(err, &unknown):
		kind, _, _ := strings.Cut(unknown.WrappedBy, ":")
		return fmt.Errorf("archives here are encrypted, and %w; name that master with %s, or below encryption.old if another one takes its place or nothing more is to be encrypted",
			unknown, cmp.Or(masterSettings[kind], "encryption.*"))
	case err != nil:
		return fmt.Errorf("open the keys of encrypted archives: %w", err)
	}
	return nil
}

// keyEvent is what the audit log calls changes of the keys. Format: never
// change.
const keyEvent = "KeyRotation"

// What happened to the keys, in an audit record. Format: never change.
const (
	keyRotated    = "rotated"
	keyNotRotated = "notRotated"
	keyRewrapped  = "rewrapped"
	keyNotWrapped = "notRewrapped"
)

// rotateKey makes a new key current, and records it. What failed is recorded as
// well, since a failed commit may have taken effect.
func rotateKey(ctx context.Context, s *blobkeys.Service, log *audit.Log) (string, error) {
	id, err := s.Rotate(ctx)
	recordKeys(log, err, keyNotRotated, map[string]any{"phase": keyRotated, "keyId": id})
	return id, err
}

// rewrapKeys has all keys wrapped by the master of now, and records it.
func rewrapKeys(ctx context.Context, s *blobkeys.Service, log *audit.Log) (int, error) {
	n, err := s.Rewrap(ctx)
	recordKeys(log, err, keyNotWrapped, map[string]any{"phase": keyRewrapped, "keys": n})
	return n, err
}

func recordKeys(log *audit.Log, err error, failed string, done map[string]any) {
	if log == nil {
		return
	}
	if err != nil {
		done = map[string]any{"phase": failed, "error": err.Error()}
	}
	log.Service(keyEvent, done)
}

// encryption is what operators may ask of a running server.
func (n *node) encryption() *adminapi.Encryption {
	return &adminapi.Encryption{
		Status: n.keys.Status,
		Rotate: func(ctx context.Context) error {
			id, err := rotateKey(ctx, n.keys, n.audit)
			if err != nil {
				n.log.ErrorContext(ctx, "key of archives not rotated", "err", err)
				return err
			}
			n.log.InfoContext(ctx, "an operator rotated the key of archives", "key", id)
			return nil
		},
		Rewrap: func(ctx context.Context) error {
			count, err := rewrapKeys(ctx, n.keys, n.audit)
			if err != nil {
				n.log.ErrorContext(ctx, "keys of archives not wrapped again", "err", err)
				return err
			}
			n.log.InfoContext(ctx, "an operator had the keys of archives wrapped again", "keys", count)
			return nil
		},
	}
}

// EncryptionStatus asks how the keys of a data directory stand: the server that
// is using it, or if there is none the rows.
func EncryptionStatus(ctx context.Context, cfg config.Config, opts Options) (adminapi.EncryptionReply, error) {
	return operateKeys(ctx, cfg, opts, (*adminclient.Client).Encryption, nil)
}

// RotateKey makes a new key current, in the same places.
func RotateKey(ctx context.Context, cfg config.Config, opts Options) (adminapi.EncryptionReply, error) {
	return operateKeys(ctx, cfg, opts, (*adminclient.Client).RotateKey, func(s *blobkeys.Service, log *audit.Log) error {
		_, err := rotateKey(ctx, s, log)
		return err
	})
}

// RewrapKeys has all keys wrapped by the master of now, in the same places.
func RewrapKeys(ctx context.Context, cfg config.Config, opts Options) (adminapi.EncryptionReply, error) {
	return operateKeys(ctx, cfg, opts, (*adminclient.Client).RewrapKeys, func(s *blobkeys.Service, log *audit.Log) error {
		_, err := rewrapKeys(ctx, s, log)
		return err
	})
}

// operateKeys finds who has the keys of a data directory: a server, which is
// asked through its admin listener, or nobody. change is nil for a look.
func operateKeys(
	ctx context.Context, cfg config.Config, opts Options,
	running func(*adminclient.Client, context.Context) (adminapi.EncryptionReply, error),
	change func(*blobkeys.Service, *audit.Log) error,
) (reply adminapi.EncryptionReply, err error) {
	opts.fill()
	d, err := openExisting(cfg.Data, cfg.Meta)
	var used *inUseError
	if errors.As(err, &used) {
		client, _, err := findRunning(ctx, cfg, used)
		if err != nil {
			return reply, err
		}
		return running(client, ctx)
	}
	if err != nil {
		return reply, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	rows, err := d.openRows(ctx, opts.Log, nil)
	if err != nil {
		return reply, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	s, err := d.openKeys(ctx, cfg.Encryption, rows, nil, opts.Now, opts.Log)
	if err != nil {
		return reply, err
	}
	if change != nil {
		if err := d.changeKeys(ctx, cfg, opts, s, change); err != nil {
			return reply, err
		}
	}
	st, err := s.Status(ctx)
	return adminapi.NewEncryptionReply(st), err
}

// changeKeys changes the keys of a directory that no server is using.
func (d *data) changeKeys(ctx context.Context, cfg config.Config, opts Options, s *blobkeys.Service, change func(*blobkeys.Service, *audit.Log) error) (err error) {
	if err := explainKeys(s.Open(ctx)); err != nil {
		return err
	}
	log, err := d.openAudit(cfg, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAudit(log)) }()
	return change(s, log)
}
