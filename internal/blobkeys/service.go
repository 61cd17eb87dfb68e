package blobkeys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"moraine"
	"moraine/internal/blob/crypt"
	"moraine/internal/meta"
)

// Config is what a Service is made of.
type Config struct {
	Meta meta.Store // required
	// Master wraps keys from now on. Nil: blobs that are put from now on are not
	// encrypted.
	Master Master
	// Old unwraps keys that Master did not wrap. Nil: there are none.
	Old Master
	// Use is given the keys to use whenever they change. Zero: nobody is.
	Use func(*crypt.Ring)
	Now func() time.Time // zero: time.Now
	Log *slog.Logger     // zero: discard
}

// Service keeps the wrapping keys. It is safe for concurrent use.
type Service struct {
	cfg Config

	current atomic.Pointer[string] // id of the key that was last given to Use as current

	mu   sync.Mutex                // held by Open, Rotate and Rewrap; guards what follows
	keys map[crypt.KeyID]crypt.Key // those unwrapped so far
}

// New assembles a Service and touches nothing.
func New(cfg Config) *Service {
	if cfg.Use == nil {
		cfg.Use = func(*crypt.Ring) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, keys: make(map[crypt.KeyID]crypt.Key)}
}

// keysMax bounds the wrapping keys.
const keysMax = 10_000

// retryDelays are the pauses between the attempts of Open.
var retryDelays = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second}

// Open unwraps all keys, makes the first one if there is none and there is a
// master, and gives them to Use. It asks a master that is away again for about a
// minute: after a power cut both may be starting.
func (s *Service) Open(ctx context.Context) error {
	return s.persist(ctx, s.start)
}

// OpenReadOnly is Open for whoever only reads: no key is made, and none wraps.
func (s *Service) OpenReadOnly(ctx context.Context) error {
	return s.persist(ctx, func(ctx context.Context) error {
		rows, err := s.load(ctx)
		if err != nil || len(rows) == 0 {
			return err
		}
		ring, err := s.ring(rows)
		if err == nil {
			s.cfg.Use(ring.ReadOnly())
		}
		return err
	})
}

// persist tries until there is a reason other than that the master is away.
func (s *Service) persist(ctx context.Context, try func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, delay := range retryDelays {
		err := try(ctx)
		if !moraine.IsKind(err, moraine.Unavailable) {
			return err
		}
		s.cfg.Log.WarnContext(ctx, "the keys of encrypted blobs cannot be had yet", "err", err, "again", delay)
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	return try(ctx)
}

// start is one attempt of Open. s.mu is held.
func (s *Service) start(ctx context.Context) error {
	rows, err := s.load(ctx)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		if s.cfg.Master == nil {
			return nil
		}
		if rows, err = s.add(ctx, rows); err != nil {
			return fmt.Errorf("make the first key: %w", err)
		}
	}
	return s.use(rows)
}

// list returns the rows, the oldest first.
func (s *Service) list(ctx context.Context) (rows []moraine.BlobKey, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		rows, err = tx.BlobKeys().List()
		return err
	})
	return rows, err
}

// load returns the rows, after unwrapping those that are new. s.mu is held.
func (s *Service) load(ctx context.Context) ([]moraine.BlobKey, error) {
	rows, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		id, err := crypt.ParseKeyID(rows[i].ID)
		if err != nil {
			return nil, moraine.Wrap(err, moraine.Corrupt, "a row of blob_keys is damaged")
		}
		if _, known := s.keys[id]; known {
			continue
		}
		key, err := s.open(ctx, &rows[i])
		if err != nil {
			return nil, err
		}
		s.keys[id] = key
	}
	return rows, nil
}

// ring makes a ring of the keys of rows, which are all unwrapped. s.mu is held.
func (s *Service) ring(rows []moraine.BlobKey) (*crypt.Ring, error) {
	keys := make([]crypt.Key, 0, len(rows))
	for i := range rows {
		id, err := crypt.ParseKeyID(rows[i].ID)
		if err != nil {
			return nil, err
		}
		keys = append(keys, s.keys[id])
	}
	return crypt.NewRing(keys...)
}

// use gives the keys of rows, which are all unwrapped, to whoever uses them.
// s.mu is held.
func (s *Service) use(rows []moraine.BlobKey) error {
	ring, err := s.ring(rows)
	if err != nil {
		return err
	}
	if s.cfg.Master == nil {
		ring = ring.ReadOnly()
	} else {
		s.current.Store(&rows[len(rows)-1].ID)
	}
	s.cfg.Use(ring)
	return nil
}

// add makes a key, has it wrapped, and saves it after the given rows, which it
// returns with it. s.mu is held.
func (s *Service) add(ctx context.Context, rows []moraine.BlobKey) ([]moraine.BlobKey, error) {
	if len(rows) >= keysMax {
		return nil, moraine.Errorf(moraine.Limit, "there are %d keys, which is as many as there may be", len(rows))
	}
	key := crypt.GenerateKey()
	row := moraine.BlobKey{ID: key.ID().String(), Created: s.instant(rows), WrappedBy: s.cfg.Master.Name()}
	var err error
	if row.Wrapped, err = wrap(ctx, s.cfg.Master, key); err != nil {
		return nil, err
	}
	// Nothing is durable, and no blob uses the key. It is given to Use only if
	// this commit is reported: a crash, or an error, before that leaves no row or
	// a row of a key that no blob uses, which the next start or rotation finds
	// and unwraps like any other.
	err = s.replace(ctx, rows, []moraine.BlobKey{row})
	if err != nil {
		return nil, err
	}
	// The row is durable. From here on blobs may need it.
	s.keys[key.ID()] = key
	return append(slices.Clone(rows), row), nil
}

// instant is now, or later than every row: the newest one is current, and the
// clock may have been set back.
func (s *Service) instant(rows []moraine.BlobKey) time.Time {
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	if n := len(rows); n > 0 && !now.After(rows[n-1].Created) {
		now = rows[n-1].Created.Add(time.Millisecond)
	}
	return now
}

// replace saves rows in one transaction, if those that are there are still the
// ones that were seen.
func (s *Service) replace(ctx context.Context, seen, save []moraine.BlobKey) error {
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		present, err := tx.BlobKeys().List()
		if err != nil {
			return err
		}
		if !slices.EqualFunc(present, seen, same) {
			return moraine.Errorf(moraine.Unavailable, "the keys were changed by somebody else; nothing was done, ask again")
		}
		for _, row := range save {
			if err := tx.BlobKeys().Save(row); err != nil {
				return err
			}
		}
		return nil
	})
}

func same(a, b moraine.BlobKey) bool {
	return a.ID == b.ID && a.Created.Equal(b.Created) && a.WrappedBy == b.WrappedBy && bytes.Equal(a.Wrapped, b.Wrapped)
}

// errOff is the answer to what only a server that encrypts can do.
var errOff = errors.New("the settings name no master, so nothing is encrypted and there is no key to change")

// Rotate makes a new key and makes it current: blobs that are put from now on
// are encrypted with it, the others stay as they are.
func (s *Service) Rotate(ctx context.Context) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Master == nil {
		return "", moraine.Wrap(errOff, moraine.Invalid, "not rotated")
	}
	rows, err := s.load(ctx)
	if err != nil {
		return "", err
	}
	if rows, err = s.add(ctx, rows); err != nil {
		return "", err
	}
	return rows[len(rows)-1].ID, s.use(rows)
}

// refreshEvery is how late is noticed that another process made a key. Until then
// blobs that are encrypted with it are unavailable here.
const refreshEvery = 10 * time.Second

// Run looks for keys that other processes made until ctx is done.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.ErrorContext(ctx, "keys that another process made cannot be had yet", "err", err)
			}
		}
	}
}

// Refresh unwraps the keys that came to the rows since the last look, if there
// are any, and gives all to Use. The newest becomes current, as it is for the
// process that made it.
func (s *Service) Refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, err := s.list(ctx)
	if err != nil || !s.news(rows) {
		return err
	}
	if rows, err = s.load(ctx); err != nil {
		return err
	}
	return s.use(rows)
}

// news reports whether there are rows of keys that are not in use. s.mu is held.
func (s *Service) news(rows []moraine.BlobKey) bool {
	if len(rows) == 0 {
		return false
	}
	if current := s.current.Load(); s.cfg.Master != nil && (current == nil || *current != rows[len(rows)-1].ID) {
		return true
	}
	return slices.ContainsFunc(rows, func(row moraine.BlobKey) bool {
		id, err := crypt.ParseKeyID(row.ID)
		_, known := s.keys[id]
		return err != nil || !known
	})
}

// Rewrap has all keys wrapped by the master of now, and returns how many. The
// keys stay the same, so nothing that is encrypted changes.
func (s *Service) Rewrap(ctx context.Context) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Master == nil {
		return 0, moraine.Wrap(errOff, moraine.Invalid, "not wrapped again")
	}
	rows, err := s.load(ctx)
	if err != nil {
		return 0, err
	}
	again := slices.Clone(rows)
	for i := range again {
		row := &again[i]
		id, err := crypt.ParseKeyID(row.ID)
		if err != nil {
			return 0, err
		}
		row.WrappedBy = s.cfg.Master.Name()
		if row.Wrapped, err = wrap(ctx, s.cfg.Master, s.keys[id]); err != nil {
			return 0, err
		}
	}
	// One transaction: after a crash, or an error, all keys are wrapped as before
	// or all as now, and the masters at hand open both.
	return len(again), s.replace(ctx, rows, again)
}

// Status is how the keys stand.
type Status struct {
	Master string // name of the master that wraps; "" for none
	Old    string // name of the one that only unwraps; "" for none
	Keys   []Key  // the oldest first
}

// Key is a wrapping key in a Status.
type Key struct {
	ID        string
	Created   time.Time
	WrappedBy string
	Current   bool // blobs are encrypted with it
}

// Status reads the rows. It asks no master. Before Open the current key is the
// one that Open would make current.
func (s *Service) Status(ctx context.Context) (Status, error) {
	var st Status
	if s.cfg.Master != nil {
		st.Master = s.cfg.Master.Name()
	}
	if s.cfg.Old != nil {
		st.Old = s.cfg.Old.Name()
	}
	rows, err := s.list(ctx)
	current := s.current.Load()
	for i, row := range rows {
		newest := s.cfg.Master != nil && i == len(rows)-1
		if current != nil { // a rotation that failed may have left a newer row
			newest = row.ID == *current
		}
		st.Keys = append(st.Keys, Key{ID: row.ID, Created: row.Created, WrappedBy: row.WrappedBy, Current: newest})
	}
	return st, err
}

// Elsewhere counts the keys that the master of now did not wrap.
func (st *Status) Elsewhere() (n int) {
	for _, k := range st.Keys {
		if k.WrappedBy != st.Master {
			n++
		}
	}
	return n
}
