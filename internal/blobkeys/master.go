package blobkeys

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"moraine"
	"moraine/internal/blob/crypt"
)

// Master wraps keys, and is kept apart from the data. Errors are of kind
// Unavailable if a retry may succeed, Denied if the master refuses, NotFound if
// it is not there, Corrupt if it answers that this is nothing it wrapped.
type Master interface {
	// Name says which key of which master wraps: a word for the kind, a colon,
	// and what tells it from others of its kind. It is kept beside what was
	// wrapped, and is no secret.
	Name() string
	// Wrap encrypts a key. The id belongs to it, and Unwrap must be given the
	// same.
	Wrap(ctx context.Context, id string, key []byte) ([]byte, error)
	// Unwrap decrypts what Wrap made, also if that was under an earlier name.
	Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error)
}

// masterTimeout bounds one request to a master.
const masterTimeout = 10 * time.Second

// wrappedMax bounds a wrapped key, in bytes.
const wrappedMax = 8 << 10

// UnknownMasterError says that a key is wrapped by a master that nobody named.
type UnknownMasterError struct {
	Key       string // its id
	WrappedBy string // the name of the master
}

func (e *UnknownMasterError) Error() string {
	return fmt.Sprintf("the key %s is wrapped by the master %s, which is not at hand", e.Key, e.WrappedBy)
}

// kindOf is the first word of a master's name.
func kindOf(name string) string {
	kind, _, _ := strings.Cut(name, ":")
	return kind
}

// wrap has a master wrap a key, and proves that the master gives it back: one
// that may encrypt and not decrypt would otherwise be noticed at the next start.
func wrap(ctx context.Context, m Master, key crypt.Key) ([]byte, error) {
	id := key.ID().String()
	ctx, cancel := context.WithTimeout(ctx, 2*masterTimeout)
	defer cancel()
	wrapped, err := m.Wrap(ctx, id, key.Bytes())
	if err != nil {
		return nil, fmt.Errorf("have the key %s wrapped by %s: %w", id, m.Name(), err)
	}
	if len(wrapped) == 0 || len(wrapped) > wrappedMax {
		return nil, moraine.Errorf(moraine.Corrupt, "the master %s wraps a key in %d bytes", m.Name(), len(wrapped))
	}
	if _, err := unwrap(ctx, m, id, wrapped); err != nil {
		return nil, fmt.Errorf("have what was just wrapped unwrapped: %w", err)
	}
	return wrapped, nil
}

// unwrap has a master unwrap the key with an id. Whatever it answers, what is
// returned is that key: the id is computed from it.
func unwrap(ctx context.Context, m Master, id string, wrapped []byte) (crypt.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	raw, err := m.Unwrap(ctx, id, wrapped)
	if err != nil {
		return crypt.Key{}, fmt.Errorf("have the key %s unwrapped by %s: %w", id, m.Name(), err)
	}
	key, err := crypt.NewKey(raw)
	if err != nil || key.ID().String() != id {
		return crypt.Key{}, moraine.Errorf(moraine.Corrupt, "the master %s unwraps the key %s to another one", m.Name(), id)
	}
	return key, nil
}

// open unwraps a row. The masters of the kind that wrapped it are asked, the one
// with the very name first: a key file may have got a new first key, and a
// service another address.
func (s *Service) open(ctx context.Context, row *moraine.BlobKey) (crypt.Key, error) {
	var first, others []Master
	for _, m := range []Master{s.cfg.Master, s.cfg.Old} {
		switch {
		case m == nil || kindOf(m.Name()) != kindOf(row.WrappedBy):
		case m.Name() == row.WrappedBy:
			first = append(first, m)
		default:
			others = append(others, m)
		}
	}
	var errs []error
	for _, m := range append(first, others...) {
		key, err := unwrap(ctx, m, row.ID, row.Wrapped)
		if err == nil {
			return key, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return crypt.Key{}, &UnknownMasterError{Key: row.ID, WrappedBy: row.WrappedBy}
	}
	// A retry may help if it may help with any of them.
	for _, err := range errs {
		if moraine.IsKind(err, moraine.Unavailable) || errors.Is(err, context.DeadlineExceeded) {
			return crypt.Key{}, moraine.Wrap(err, moraine.Unavailable, "the key %s cannot be unwrapped now", row.ID)
		}
	}
	return crypt.Key{}, errors.Join(errs...)
}
