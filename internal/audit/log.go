package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"moraine/internal/disk"
)

// Sync says which records are durable when Append returns.
type Sync int

// The ways to sync. Records that are not synced at once are within a second.
const (
	Writes Sync = iota // those of successful calls that change something
	All                // all of them
	Off                // none: the operating system writes when it likes
)

// queueMax bounds the lines that wait for a disk that takes none, in bytes.
const queueMax = 16 << 20

// flushEvery is how long a record may wait that nobody waits for.
const flushEvery = time.Second

// Config is what a Log is made of.
type Config struct {
	FS  disk.FS   // required for files
	Dir string    // of the files; made if it does not exist
	Out io.Writer // if not nil, lines go there and there are no files
	// Sync says which records are durable at once. Zero: Writes.
	Sync Sync
	// FailOpen lets calls succeed whose records cannot be written.
	FailOpen bool
	Now      func() time.Time // zero: time.Now
	Log      *slog.Logger     // zero: discard
}

// Log is the open audit log. Its methods may be called at the same time.
type Log struct {
	cfg   Config
	noise *noise

	mu      sync.Mutex // guards what follows
	last    link       // of the last line made
	queue   []chunk    // lines that are not durable yet, in order
	queued  int        // bytes of queue
	dropped int64      // records for which the queue had no room
	durable int64      // number of the last record that needs no more care
	failing bool       // the last flush failed; said once in the log

	io   sync.Mutex // held by the one who writes; guards what follows
	file disk.File  // nil if it must be opened, at first and after a failure
	name string     // of the file that is written
	size int64      // of its durable part, where the queue continues
}

// chunk is lines of one file that follow each other.
type chunk struct {
	name string
	text []byte
	last int64 // number of the last record
}

var errFull = errors.New("too many audit records wait to be written")

// Append makes a record of r and, as the configuration asks for, waits until
// it is durable. If owner is another account than the recipient of r, that
// account gets a copy of its own. r must not be used afterwards.
//
// An error means that the call must not be reported as a success. What the
// call did is done: the record is made after the commit, since it tells what
// came of the call, and before the reply. The client has to take such an
// answer for what it is, an unknown outcome. The record stays in the queue and
// is written when the disk takes it again.
func (l *Log) Append(r *Record, owner string) error {
	wait := l.cfg.Sync == All || !r.ReadOnly && r.ErrorCode == ""
	seq, err := l.enqueue(r, owner)
	if err == nil && (wait || l.cfg.Out != nil) {
		err = l.flush(seq)
	}
	if err == nil || !wait || l.cfg.FailOpen {
		return nil
	}
	return fmt.Errorf("write the audit record: %w", err)
}

// Service records something that the server did or noticed by itself.
func (l *Log) Service(name string, details map[string]any) {
	// It waits for the next flush; a full queue is counted and logged there.
	_, _ = l.enqueue(service(name, details), "")
}

// Witness is Service for what must not happen without a record: it waits until
// the record is durable, and an error means that it must not happen.
func (l *Log) Witness(name string, details map[string]any) error {
	seq, err := l.enqueue(service(name, details), "")
	if err == nil {
		err = l.flush(seq)
	}
	if err == nil || l.cfg.FailOpen {
		return nil
	}
	return fmt.Errorf("write the audit record: %w", err)
}

func service(name string, details map[string]any) *Record {
	return &Record{
		UserIdentity: Identity{Type: "AWSService", InvokedBy: ourselves}, EventType: serviceEvent,
		EventSource: "glacier.amazonaws.com", EventName: name, AdditionalEventData: details,
	}
}

// enqueue makes the lines of r and returns the number of the last.
func (l *Log) enqueue(r *Record, owner string) (int64, error) {
	now := l.cfg.Now()
	r.complete(now)
	texts := [][]byte{nil}
	if owner != "" && owner != r.RecipientAccountID {
		r.SharedEventID = newID()
		texts = append(texts, encode(r.forOwner(owner)))
		if r.byVault() {
			r.AdditionalEventData = withoutPolicy(r.AdditionalEventData)
		}
	}
	texts[0] = encode(r)

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queued > queueMax {
		l.dropped += int64(len(texts))
		return 0, errFull
	}
	if n := l.dropped; n > 0 {
		l.dropped = 0
		gap := service("AuditRecordsDropped", map[string]any{"records": n})
		gap.complete(now)
		l.add(encode(gap), now)
	}
	for _, text := range texts {
		l.add(text, now)
	}
	return l.last.seq, nil
}

// add puts the line of a canonical record into the queue. l.mu is held.
func (l *Log) add(canonical []byte, now time.Time) {
	next := link{seq: l.last.seq + 1, prev: l.last.hash}
	next.hash = hashOf(next.prev, next.seq, canonical)
	name := fileName(now)
	if n := len(l.queue); n == 0 || l.queue[n-1].name < name {
		l.queue = append(l.queue, chunk{name: name})
	}
	// A clock that went back does not bring back an earlier file.
	c := &l.queue[len(l.queue)-1]
	before := len(c.text)
	c.text, c.last = appendLine(c.text, canonical, next), next.seq
	l.queued += len(c.text) - before
	l.last = next
}

// flush makes everything up to a record durable.
func (l *Log) flush(seq int64) error {
	l.io.Lock()
	defer l.io.Unlock()
	l.mu.Lock()
	if l.durable >= seq {
		l.mu.Unlock()
		return nil // whoever wrote before us took our line along
	}
	batch := l.queue
	l.queue = nil
	l.mu.Unlock()

	var err error
	written := 0
	for written < len(batch) && err == nil {
		if err = l.write(batch[written]); err == nil {
			written++
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range batch[:written] {
		l.durable = c.last
		l.queued -= len(c.text)
	}
	l.queue = append(batch[written:], l.queue...)
	if failing := err != nil; failing != l.failing {
		l.failing = failing
		if failing {
			l.cfg.Log.Error("the audit log cannot be written", "err", err)
		} else {
			l.cfg.Log.Info("the audit log is written again")
		}
	}
	return err
}

// write appends a chunk to its file and makes it durable. l.io is held. After
// an error the file is closed: what of it is on disk is uncertain, and the next
// attempt begins with the durable part.
func (l *Log) write(c chunk) (err error) {
	if l.cfg.Out != nil {
		_, err := l.cfg.Out.Write(c.text)
		return err
	}
	defer func() {
		if err != nil && l.file != nil {
			_ = l.file.Close()
			l.file = nil
		}
	}()
	if l.name < c.name {
		if l.file != nil {
			// Every line of it is durable.
			_ = l.file.Close()
		}
		l.file, l.name, l.size = nil, c.name, 0
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(c.text, l.size); err != nil {
		return err
	}
	// A crash here leaves some of the lines, perhaps part of one. Nobody was
	// told that they are there; Open cuts off what is not whole.
	if l.cfg.Sync != Off {
		if err := l.file.Sync(); err != nil {
			return err
		}
	}
	// The lines are durable.
	l.size += int64(len(c.text))
	return nil
}

// open opens the file that is written, at its durable part, and makes its name
// durable. l.io is held.
func (l *Log) open() error {
	f, err := l.cfg.FS.Open(filepath.Join(l.cfg.Dir, l.name), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	l.file = f
	if err := f.Truncate(l.size); err != nil {
		return err
	}
	return l.cfg.FS.SyncDir(l.cfg.Dir)
}

// Run writes what nobody waits for, until ctx is done.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			l.noise.summarize(l, false)
			// A failure is in the log, and the next tick tries again.
			_ = l.flush(l.newest())
		}
	}
}

func (l *Log) newest() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last.seq
}

// Flush makes every record durable that was appended before.
func (l *Log) Flush() error { return l.flush(l.newest()) }

// Close makes every record durable and closes the file.
func (l *Log) Close() error {
	l.noise.summarize(l, true)
	err := l.Flush()
	l.io.Lock()
	defer l.io.Unlock()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
		l.file = nil
	}
	return err
}
