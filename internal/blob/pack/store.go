package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// Config says how to open a store. Dir is the one field that must be set.
type Config struct {
	// FS is the file system. Nil is the operating system's.
	FS disk.FS
	// Dir is the directory of the store, made if it is missing. The caller
	// holds the lock that keeps other processes away.
	Dir string
	// Log receives what is repaired at the start and what goes wrong behind a
	// caller's back. Nil discards it.
	Log *slog.Logger
	// Now dates the files. Nil is time.Now.
	Now func() time.Time
	// SmallMax is the largest blob that shares a pack, in bytes: at most 1 MiB,
	// which is also what zero means.
	SmallMax int64
	// PackSize is the size in bytes from which on nothing more is appended to a
	// pack. Zero is 256 MiB.
	PackSize int64
	// BufferMax bounds the small blobs that are being received or wait to be
	// written, in bytes; Put waits for room. Zero is 64 MiB, the least is 4 MiB.
	BufferMax int64
	// HandlesMax is how many files are kept open for reading. Zero is 128.
	HandlesMax int
}

// Defaults of Config.
const (
	smallSizeMax     = treehash.LeafSize
	packSizeDefault  = 256 << 20
	bufferMaxDefault = 64 << 20
	bufferMaxLeast   = 4 << 20
	handlesDefault   = 128
)

// openFilesMax bounds the files in open/, which a start has to read. It is
// reached only if they cannot be sealed.
const openFilesMax = 4096

func (c *Config) setDefaults() {
	if c.FS == nil {
		c.FS = disk.NewOS()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.SmallMax <= 0 || c.SmallMax > smallSizeMax {
		c.SmallMax = smallSizeMax
	}
	if c.PackSize <= 0 {
		c.PackSize = packSizeDefault
	}
	if c.BufferMax <= 0 {
		c.BufferMax = bufferMaxDefault
	}
	c.BufferMax = max(c.BufferMax, bufferMaxLeast)
	if c.HandlesMax <= 0 {
		c.HandlesMax = handlesDefault
	}
}

// Store is a blob.Store in local files.
type Store struct {
	layout
	cfg     Config
	log     *slog.Logger
	handles *handles
	room    *semaphore.Weighted // of BufferMax
	bufs    bufferPool
	cold    coldness // of checks
	stats   counters
	holes   atomic.Int32 // one of the punch constants

	transfers transferPool
	passes    passes

	appender *appender
	reaper   *reaper
	sealer   *sealer

	// unsealed knows the files in open/.
	unsealedMu sync.Mutex
	unsealed   map[fileName]*unsealed

	// calls holds Close back until every method has returned.
	closing atomic.Bool
	calls   sync.WaitGroup
	callsMu sync.Mutex // guards the step from closing to waiting
}

var (
	_ blob.Store     = (*Store)(nil)
	_ blob.Walker    = (*Store)(nil)
	_ blob.Checker   = (*Store)(nil)
	_ blob.Stater    = (*Store)(nil)
	_ blob.Compactor = (*Store)(nil)
)

// unsealed is a file in open/.
type unsealed struct {
	// end is where the durable records of a shared pack end; 0 in a large file
	// that is not complete.
	end atomic.Int64
}

// Open opens the store in a directory, or makes one. It reads the files that a
// crash may have left unfinished and seals or removes them; those that cannot
// be sealed now stay where they are and stay readable.
func Open(cfg Config) (*Store, error) {
	cfg.setDefaults()
	s := &Store{
		layout:   layout{fs: cfg.FS, dir: cfg.Dir, made: map[string]bool{}},
		cfg:      cfg,
		log:      cfg.Log,
		room:     semaphore.NewWeighted(cfg.BufferMax),
		unsealed: map[fileName]*unsealed{},
	}
	s.handles = newHandles(&s.layout, cfg.HandlesMax)
	for _, dir := range []string{s.openDir(), s.sealedDir()} {
		if err := disk.MkdirAll(s.fs, dir); err != nil {
			return nil, unavailable(err)
		}
	}
	s.appender, s.reaper, s.sealer = newAppender(s), newReaper(s), newSealer(s)
	if err := s.recover(); err != nil {
		return nil, err
	}
	go s.appender.run()
	go s.reaper.run()
	go s.sealer.run()
	return s, nil
}

// Close implements blob.Store. What was put before it returns is durable; the
// current pack is sealed, so that the next Open finds nothing to do.
func (s *Store) Close() error {
	s.callsMu.Lock()
	again := s.closing.Swap(true)
	s.callsMu.Unlock()
	if again {
		return errClosed
	}
	s.calls.Wait()
	// Each feeds the next: the last pack is sealed, and may be found all dead.
	s.appender.stop()
	s.sealer.stop()
	s.reaper.stop()
	s.handles.close()
	s.transfers.close()
	return nil
}

var errClosed = moraine.Errorf(moraine.Unavailable, "the store is closed")

// begin enters a call of a method; done must be called when it returns.
func (s *Store) begin(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.callsMu.Lock()
	defer s.callsMu.Unlock()
	if s.closing.Load() {
		return nil, errClosed
	}
	s.calls.Add(1)
	return s.calls.Done, nil
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	if size < 1 || size > sizeMax {
		return "", moraine.Errorf(moraine.Invalid, "a blob of %d bytes cannot be stored", size)
	}
	put := s.putLarge
	if size <= s.cfg.SmallMax {
		put = s.putSmall
	}
	at, err := put(ctx, id, r, size)
	if err != nil {
		return "", err
	}
	s.stats.puts.Add(1)
	s.stats.putBytes.Add(size)
	return at.blobRef(), nil
}

// addUnsealed enters a file that is about to be in open/, if there is room.
func (s *Store) addUnsealed(n fileName) (*unsealed, error) {
	s.unsealedMu.Lock()
	defer s.unsealedMu.Unlock()
	if len(s.unsealed) >= openFilesMax {
		return nil, moraine.Errorf(moraine.Unavailable, "more than %d files could not be sealed", openFilesMax)
	}
	u := &unsealed{}
	s.unsealed[n] = u
	return u, nil
}

func (s *Store) dropUnsealed(n fileName) {
	s.unsealedMu.Lock()
	defer s.unsealedMu.Unlock()
	delete(s.unsealed, n)
}

func (s *Store) findUnsealed(n fileName) *unsealed {
	s.unsealedMu.Lock()
	defer s.unsealedMu.Unlock()
	return s.unsealed[n]
}

// unavailable translates an error of the file system.
func unavailable(err error) error {
	if disk.IsFull(err) {
		return moraine.Wrap(err, moraine.Unavailable, "storage is full")
	}
	if disk.IsUnreadable(err) {
		err = fmt.Errorf("%w: %w", blob.ErrUnreadable, err)
	}
	return moraine.Wrap(err, moraine.Unavailable, "storage failed")
}

// damage is an error of kind Corrupt that names the place.
func damage(n fileName, off int64, cause error) error {
	return moraine.Wrap(cause, moraine.Corrupt, "%s is damaged at offset %d", n.base(), off)
}

// faulty translates an error met while reading a file: bytes that are wrong
// are damage, bytes that could not be had may come another time.
func faulty(n fileName, off int64, err error) error {
	switch {
	case isDamage(err):
		return damage(n, off, err)
	case errors.Is(err, errDying):
		return gone(n, off)
	}
	return unavailable(err)
}

func isDamage(err error) bool {
	for _, reason := range []error{errMagic, errCRC, errVersion, errFields, errState, errOther, errShort} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

func gone(n fileName, off int64) error {
	return moraine.Errorf(moraine.NotFound, "%s holds no blob at offset %d", n.base(), off)
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
