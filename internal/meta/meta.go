// Package meta is the port to the rows: vaults and what is attached to them,
// archives, extents, uploads, jobs, settings of accounts and messages, read and written
// in transactions.
//
// It knows what a store of rows owes its callers (package metatest tests it).
// It must not know SQL or any engine, and it judges nothing: rules live in the
// services, which read and write through a Tx.
package meta

import (
	"context"
	"errors"
	"time"

	"moraine"
)

// ErrNotFound is what a Get returns when there is no such row, and what Delete,
// MarkDeleted, Move, Hold and DropJob return when there is none to change. Services
// turn it into the sentence a client sees.
var ErrNotFound = errors.New("no such row")

// Store runs transactions. Errors of the engine carry kind Unavailable, Corrupt
// if it finds its rows damaged, Internal if it refuses a row; an error of fn is
// returned as it is. Any error of a statement but ErrNotFound dooms the
// transaction: it fails even if fn keeps quiet about it. If fn panics, its
// writes are undone and the panic goes on in the caller.
type Store interface {
	// View runs fn on a consistent snapshot. Nothing fn does through tx may
	// write. Views never wait for updates, nor updates for views. If ctx ends,
	// so does the View.
	View(ctx context.Context, fn func(tx Tx) error) error

	// Update runs fn in a transaction that is serialisable with all others. If
	// fn returns nil and Update returns nil, the writes are durable: a crash on
	// the next line loses nothing. If fn returns an error, nothing it wrote
	// remains. If fn returned nil but the commit fails, Update returns an error
	// of kind Unavailable and it is open whether the writes took effect.
	// fn may run more than once, sees its own writes, and must not block on
	// anything but tx. Many concurrent Updates may share one durable commit;
	// each is undone alone. If ctx ends before fn begins, fn does not run;
	// afterwards ctx is not asked again.
	Update(ctx context.Context, fn func(tx Tx) error) error

	// Close waits for transactions under way. After it everything else returns
	// an error of kind Unavailable.
	Close() error
}

// Tx is one transaction. It and all it returns are valid, and used by one
// goroutine, only until fn returns. All instants are UTC with millisecond
// precision; the zero time is stored as absent. What rows are ordered by must be
// present: Created of archives, uploads and jobs, Active, Due, Since. A limit of
// zero rows gives none, except where it says otherwise.
type Tx interface {
	// Time is the time of the store, in whole milliseconds: one clock for all
	// who share the rows, whatever the clocks of their machines say. Leases go
	// by it, and so does when work is due. It may stand still from the begin of
	// a transaction to its end.
	Time() (time.Time, error)
	Leases() Leases
	Vaults() Vaults
	Archives() Archives
	Bodies() Bodies
	Uploads() Uploads
	Jobs() Jobs
	Documents() Documents
	Settings() Settings
	Outbox() Outbox
	Sweeps() Sweeps
	Scrub() Scrub
	Accounts() Accounts
	Identities() Identities
	AccessKeys() AccessKeys
	BlobKeys() BlobKeys
}

// Vaults is the table of vaults.
type Vaults interface {
	Get(a moraine.AccountID, r moraine.Region, name moraine.VaultName) (moraine.Vault, error)
	ByID(id moraine.VaultID) (moraine.Vault, error)
	// List returns at most limit vaults in byte order of name, the first one
	// being from itself or the next greater name.
	List(a moraine.AccountID, r moraine.Region, from moraine.VaultName, limit int) ([]moraine.Vault, error)
	Count(a moraine.AccountID, r moraine.Region) (int, error)
	// Save inserts the vault or replaces the row with its ID. Callers Get
	// first in the same transaction: a second vault of the same account, region
	// and name is an error.
	Save(v moraine.Vault) error
	// Delete removes the vault with its documents, which are few, and enters
	// its id among the dead vaults, whose remains Sweeps clears away. Its name
	// is free at once.
	Delete(id moraine.VaultID) error
}

// Archives is the table of archives. Rows of deleted archives remain.
type Archives interface {
	Get(id moraine.ArchiveID) (moraine.Archive, error)
	Insert(a moraine.Archive) error
	// MarkDeleted sets Deleted and enters the body among the condemned. To an
	// archive that is marked already it does nothing and returns ErrNotFound.
	MarkDeleted(id moraine.ArchiveID, at time.Time) error
	// Scan calls fn for each archive that the query selects, ordered by
	// Created, then by bytes of ID, streaming: memory does not depend on how
	// many there are. fn must not use the transaction.
	Scan(q Scan, fn func(moraine.Archive) error) error
	// Faulty calls fn for each archive, also if it is deleted, of which an extent
	// has a fault, in no order. It looks at every archive there is, which is for
	// operators to wait for. fn must not use the transaction.
	Faulty(fn func(moraine.Archive) error) error
}

// Scan selects archives of a vault as they were at an instant.
type Scan struct {
	Vault moraine.VaultID
	At    time.Time // created at or before, and not deleted at or before
	Start time.Time // created at or after; zero for no bound
	End   time.Time // created before; zero for no bound
	// AfterCreated and AfterID continue after a position: strictly greater in
	// (Created, ID) order. Zero for the start.
	AfterCreated time.Time
	AfterID      string
	Limit        int64 // zero for no bound
}

// Bodies is the table of extents. Those of one body must not overlap, and a blob
// is named by one extent only. Only Judge sets Verified and Fault.
type Bodies interface {
	// Extents returns at most limit extents of a body in order of First,
	// beginning with the first one that ends after offset from.
	Extents(b moraine.BodyID, from int64, limit int) ([]moraine.Extent, error)
	// At returns the extent that begins at first.
	At(b moraine.BodyID, first int64) (moraine.Extent, error)
	// Put inserts e, or replaces the extent with the same First and enters the
	// replaced blob, if it is another one, into the garbage as of now.
	Put(b moraine.BodyID, e moraine.Extent, now time.Time) error
	// ByBlob returns the body and extent that name a blob.
	ByBlob(id moraine.BlobID) (moraine.BodyID, moraine.Extent, error)
	// Blobs returns at most limit extents of all bodies in byte order of Blob,
	// the first one being after the given id, the zero id for the start.
	Blobs(after moraine.BlobID, limit int) ([]moraine.Extent, error)
	// Judge notes what a check of a blob at a place found; "" is no fault. If
	// the blob is not there any more it notes nothing and returns ErrNotFound.
	Judge(id moraine.BlobID, ref moraine.BlobRef, at time.Time, fault string) error
	// Faulty returns at most limit extents with a fault in byte order of Blob,
	// the first one being after the given id, the zero id for the start.
	Faulty(after moraine.BlobID, limit int) ([]Placed, error)
	// Move sets the reference of a blob, when its bytes are found elsewhere,
	// also if it is garbage.
	Move(id moraine.BlobID, to moraine.BlobRef) error
	// Condemn enters a body that nothing but jobs may name any more, for
	// Sweeps to turn into garbage. Idempotent: the first instant stays.
	Condemn(b moraine.BodyID, since time.Time) error
}

// Placed is an extent and the body it is of.
type Placed struct {
	Body moraine.BodyID
	moraine.Extent
}

// Scrub is the one row about the reading of everything.
type Scrub interface {
	// State returns the zero state before the first Save.
	State() (moraine.ScrubState, error)
	Save(s moraine.ScrubState) error
}

// Uploads is the table of multipart uploads.
type Uploads interface {
	Get(id moraine.UploadID) (moraine.Upload, error)
	// Save inserts the upload or replaces the row with its ID.
	Save(u moraine.Upload) error
	// List returns at most limit open uploads of a vault after a position, in
	// order of (Created, ID). Zero values for the start.
	List(v moraine.VaultID, afterCreated time.Time, afterID moraine.UploadID, limit int) ([]moraine.Upload, error)
	CountOpen() (int64, error)
}

// Jobs is the table of jobs. Due, leases and the now of Claim are by Tx.Time.
type Jobs interface {
	Get(id moraine.JobID) (moraine.Job, error)
	// Save inserts the job or replaces the row with its ID.
	Save(j moraine.Job) error
	// List returns at most limit jobs of a vault, newest first.
	List(q JobList) ([]moraine.Job, error)
	// Claim leases at most limit jobs in progress whose Due is at or before now
	// and whose lease is absent or over, oldest Due first, to owner until the
	// given instant, and returns them as saved.
	Claim(owner string, now, until time.Time, limit int) ([]moraine.Job, error)
	// Hasten makes the jobs in progress that name a body due at the given
	// instant, unless they are due before it.
	Hasten(b moraine.BodyID, at time.Time) error
	// Hold says that a job is in use until an instant by Tx.Time, and does not
	// expire before. One that is held for longer stays so.
	Hold(id moraine.JobID, until time.Time) error
	// NextDue returns the earliest instant at which Claim could return a job,
	// which may be past; ok is false if no job is in progress.
	NextDue() (at time.Time, ok bool, err error)
	CountByState() (map[moraine.JobState]int64, error)
}

// JobList selects jobs of a vault.
type JobList struct {
	Vault moraine.VaultID
	// States to show, none for all.
	States []moraine.JobState
	// Now hides finished jobs whose Expires is at or before it.
	Now time.Time
	// BeforeCreated and BeforeID continue after a position: strictly smaller
	// in (Created, ID) order. Zero for the start.
	BeforeCreated time.Time
	BeforeID      moraine.JobID
	Limit         int
}

// Documents are what is attached to vaults: tags, an access policy, a lock, a
// configuration of notifications. Callers who change one that decisions go by,
// which is any but the last, change the Revision of the vault in the same
// transaction. That a vault exists is not asked.
type Documents interface {
	// Tags returns the tags of a vault in byte order of key.
	Tags(v moraine.VaultID) ([]moraine.Tag, error)
	// SetTags makes these the tags of a vault, and the only ones. Two with one
	// key are an error.
	SetTags(v moraine.VaultID, tags []moraine.Tag) error
	AccessPolicy(v moraine.VaultID) (moraine.VaultPolicy, error)
	// SetAccessPolicy stores the policy in place of the one there is; nil
	// removes it, which is no error if there is none.
	SetAccessPolicy(v moraine.VaultID, p *moraine.VaultPolicy) error
	// Locks is the table of the locks.
	Locks() Locks
	// Notifications is the table of the configurations of notifications.
	Notifications() Notifications
}

// Notifications is the table of configurations of notifications, at most one
// for each vault.
type Notifications interface {
	Get(v moraine.VaultID) (moraine.Notifications, error)
	// Save inserts the configuration or replaces the one of the vault.
	Save(v moraine.VaultID, n moraine.Notifications) error
	// Drop removes the configuration of a vault; that there is none is no
	// error.
	Drop(v moraine.VaultID) error
}

// Outbox is the table of messages to deliver. They outlive the vault and the
// job they are about. Next and the now of Claim are by Tx.Time.
type Outbox interface {
	Get(id moraine.MessageID) (moraine.Message, error)
	// Save inserts the message or replaces the row with its ID. A pending one,
	// and no other, has a Next.
	Save(m moraine.Message) error
	// Drop forgets a message.
	Drop(id moraine.MessageID) error
	// Claim leases at most limit messages whose Next is at or before now, the
	// one with the least Next first, to owner: it sets their LeaseOwner, and
	// their Next to until. It returns them as saved, in byte order of ID.
	Claim(owner string, now, until time.Time, limit int) ([]moraine.Message, error)
	// NextDue returns the least Next; ok is false if no message is pending.
	NextDue() (at time.Time, ok bool, err error)
	// List returns at most limit messages in a state, in byte order of ID, the
	// first one being after the given ID, "" for the start.
	List(state moraine.MessageState, after moraine.MessageID, limit int) ([]moraine.Message, error)
	CountByState() (map[moraine.MessageState]int64, error)
}

// Locks is the table of locks, at most one for each vault.
type Locks interface {
	Get(v moraine.VaultID) (moraine.Lock, error)
	// Save inserts the lock or replaces the one of its vault.
	Save(l moraine.Lock) error
	// Drop removes the lock of a vault; that there is none is no error.
	Drop(v moraine.VaultID) error
	// Over returns at most limit locks in progress whose Expires is at or
	// before t, the oldest first.
	Over(t time.Time, limit int) ([]moraine.Lock, error)
}

// Settings are what an account decides for itself in a region.
type Settings interface {
	RetrievalPolicy(a moraine.AccountID, r moraine.Region) (moraine.RetrievalPolicy, error)
	SetRetrievalPolicy(a moraine.AccountID, r moraine.Region, p moraine.RetrievalPolicy) error
	// Load adds up the archive jobs of the account's vaults that exist.
	Load(q Load) (Retrievals, error)
	// Capacity returns the units whose Expires is after t, in order of (Start,
	// ID). The caller sees to it that they are few.
	Capacity(a moraine.AccountID, r moraine.Region, t time.Time) ([]moraine.CapacityUnit, error)
	AddCapacity(u moraine.CapacityUnit) error
	// DropCapacity removes the units whose Expires is at or before t.
	DropCapacity(a moraine.AccountID, r moraine.Region, t time.Time) error
}

// Load selects archive jobs of an account in a region.
type Load struct {
	Account moraine.AccountID
	Region  moraine.Region
	Tier    moraine.Tier
	// Since selects jobs in any state created at or after it; zero those in
	// progress.
	Since time.Time
}

// Retrievals are the sum of a Load.
type Retrievals struct {
	Jobs  int64
	Bytes int64 // sum of Output
}

// Sweeps are the questions and steps of the background work. Each touches at
// most limit rows, so that no transaction is long.
type Sweeps interface {
	// IdleUploads returns open uploads whose Active is at or before t.
	IdleUploads(t time.Time, limit int) ([]moraine.Upload, error)
	// DropEndedUploads removes completed and aborted uploads whose Active is
	// at or before t and returns how many.
	DropEndedUploads(t time.Time, limit int) (int, error)
	// ExpiredJobs returns finished jobs whose Expires is at or before t and that
	// nobody holds at now (Jobs.Hold).
	ExpiredJobs(t, now time.Time, limit int) ([]moraine.Job, error)
	// DropJob removes a job; if it is an inventory job it condemns its body.
	DropJob(id moraine.JobID, now time.Time) error
	// Release moves at most limit extents of condemned bodies that no job in
	// progress or succeeded names into the garbage, forgets bodies that have
	// none left, and returns how many rows it touched: 0 when all is done. A
	// body with a faulty extent stays as it is.
	Release(now time.Time, limit int) (int, error)
	// GiveUp moves the extents of a condemned body that no job in progress or
	// succeeded names into the garbage, those with a fault too, forgets the body,
	// and returns how many they were. Of any other body it returns ErrNotFound.
	GiveUp(b moraine.BodyID, now time.Time) (int, error)
	// Garbage returns blobs to delete, oldest first. Those whose Since is still
	// to come may be in use until then, and come last.
	Garbage(limit int) ([]moraine.Garbage, error)
	// IsGarbage reports whether a blob is waiting to be deleted.
	IsGarbage(id moraine.BlobID) (bool, error)
	// Discard enters a place to be given back that no extent names: a copy of a
	// blob that lives on elsewhere. Its Blob is an id that no extent has and no
	// other garbage, made for this.
	Discard(g moraine.Garbage) error
	// DropGarbage forgets blobs that are deleted.
	DropGarbage(ids []moraine.BlobID) error
	// Bury removes at most limit rows of dead vaults (jobs, uploads, archives;
	// their bodies are condemned first) and the vaults that have none left,
	// and returns how many rows it touched: 0 when all is done. Documents need
	// no burial: Vaults.Delete removes them.
	Bury(now time.Time, limit int) (int, error)
	// DueInventories returns vaults with a write after their last snapshot
	// (or with a write and no snapshot) whose last snapshot, or first write
	// if there is none, is at or before t.
	DueInventories(t time.Time, limit int) ([]moraine.Vault, error)
}
