package moraine

import (
	"time"

	"moraine/internal/treehash"
)

// TreeHash is the SHA-256 tree hash of a string of bytes (§6).
type TreeHash = treehash.Digest

// Figures count the archives of a vault.
type Figures struct {
	Archives int64 // how many
	Bytes    int64 // sum of their sizes, without overhead
}

// SizeInBytes is the figure clients are shown: each archive counts as its size
// and 32,768 bytes (§1.14).
func (f Figures) SizeInBytes() int64 { return f.Bytes + f.Archives*ArchiveOverhead }

// Vault is a named set of archives of one account in one region.
type Vault struct {
	ID      VaultID
	Account AccountID
	Region  Region
	Name    VaultName
	Created time.Time

	// Live counts the archives that exist now.
	Live Figures
	// FirstWrite and LastWrite are the instants of the first and last archive
	// creation or deletion; zero if there was none.
	FirstWrite, LastWrite time.Time

	// Inventoried is the instant of the last inventory snapshot, zero before
	// the first; Inventory are the figures at that instant. An archive is in
	// the snapshot if it was created at or before the instant and not deleted
	// at or before it.
	Inventoried time.Time
	Inventory   Figures

	// Revision names the present state of the vault's tags, access policy and
	// lock: 0 while it has none of them, else a number that no other state of
	// any vault has.
	Revision int64
}

// ARN is arn:aws:glacier:<region>:<account>:vaults/<name>.
func (v *Vault) ARN() string { return VaultARN(v.Region, v.Account, string(v.Name)) }

// VaultARN is the ARN of the vault of that name, whether or not it exists.
func VaultARN(r Region, a AccountID, name string) string {
	return "arn:aws:glacier:" + string(r) + ":" + string(a) + ":vaults/" + name
}

// Stamp returns the instant for a write to v that happens at now: never at or
// before the last inventory snapshot, so that a snapshot once taken keeps
// naming the same archives for ever.
func (v *Vault) Stamp(now time.Time) time.Time {
	if !v.Inventoried.IsZero() && !now.After(v.Inventoried) {
		return v.Inventoried.Add(time.Millisecond)
	}
	return now
}

// TakeInventory makes the present the inventory of v. The instant is not
// before any write, so that the snapshot names exactly the archives of now.
func (v *Vault) TakeInventory(now time.Time) {
	if now.Before(v.LastWrite) {
		now = v.LastWrite
	}
	v.Inventoried, v.Inventory = now, v.Live
}

// Archive is an immutable string of bytes in a vault.
type Archive struct {
	ID          ArchiveID
	Vault       VaultID
	Body        BodyID // where the bytes are
	Description string // "" if none
	Size        int64  // bytes, at least 1
	TreeHash    TreeHash
	Created     time.Time
	Deleted     time.Time // zero while the archive exists
}

// Extent is a piece of a body: one blob at a position. The extents of an
// archive are contiguous from zero; those of an open upload are its parts.
type Extent struct {
	First    int64 // offset of the first byte in the body
	Size     int64 // bytes, at least 1
	Blob     BlobID
	Ref      BlobRef
	TreeHash TreeHash // of this piece

	// Verified is when every leaf was last read and compared; zero if that was
	// when the bytes came in. Fault says what was wrong then, "" if nothing.
	// An extent with a fault is never served, and its bytes are not deleted.
	Verified time.Time
	Fault    string
}

// UploadState is where a multipart upload is in its life.
type UploadState string

// The states of an upload. Format: stored, never change.
const (
	UploadOpen      UploadState = "open"
	UploadCompleted UploadState = "completed" // remembered so that a repeated completion answers the same
	UploadAborted   UploadState = "aborted"   // remembered so that a repeated abort succeeds
)

// Upload is a multipart upload.
type Upload struct {
	ID          UploadID
	Vault       VaultID
	Body        BodyID // of the parts, and later of the archive
	Description string // "" if none
	PartSize    int64  // one of the thirteen
	State       UploadState
	Created     time.Time
	// Active is the last activity while open (§5.1), the instant of the end
	// afterwards. Expiry counts from it.
	Active time.Time

	// Of a completed upload: what it became and what was asked for.
	Archive  ArchiveID
	Size     int64
	TreeHash TreeHash
}

// JobAction says what a job does, in the words of job descriptions (§7.1).
type JobAction string

// The actions. Format: stored, never change.
const (
	ArchiveRetrieval   JobAction = "ArchiveRetrieval"
	InventoryRetrieval JobAction = "InventoryRetrieval"
)

// JobState is the StatusCode of a job (§7.4).
type JobState string

// The states of a job. Format: stored, never change.
const (
	InProgress JobState = "InProgress"
	Succeeded  JobState = "Succeeded"
	Failed     JobState = "Failed"
)

// Tier is how soon a retrieval is wanted.
type Tier string

// The tiers (§7.2).
const (
	Expedited Tier = "Expedited"
	Standard  Tier = "Standard"
	Bulk      Tier = "Bulk"
)

// Format is the form of an inventory.
type Format string

// The formats (§7.2).
const (
	JSON Format = "JSON"
	CSV  Format = "CSV"
)

// Job is a retrieval of an archive or of an inventory.
type Job struct {
	ID          JobID
	Vault       VaultID
	Action      JobAction
	State       JobState
	Tier        Tier   // "" on an inventory job that named none
	Description string // "" if none
	SNSTopic    string // "" if none
	Created     time.Time
	Due         time.Time // when the job may run, by the time of the store: the delay of its tier after it was accepted
	Completed   time.Time // zero while in progress
	Expires     time.Time // zero while in progress

	// Body holds the output: that of the archive, or one made for the
	// inventory document. Output is its size in bytes, for an archive job the
	// length of the range.
	Body   BodyID
	Output int64

	Retrieval *Retrieval // of an ArchiveRetrieval, else nil
	Inventory *Inventory // of an InventoryRetrieval, else nil

	// A process that claimed the job holds it until LeaseUntil, by the time of
	// the store; zero if none.
	LeaseOwner string
	LeaseUntil time.Time
}

// Retrieval is what an archive job brings back.
type Retrieval struct {
	Archive            ArchiveID
	ArchiveDescription string
	ArchiveSize        int64
	ArchiveTreeHash    TreeHash
	First, Last        int64     // inclusive range of the archive
	TreeHash           *TreeHash // of the range; nil if it is not tree-hash-aligned (§6.3)
}

// Inventory is what an inventory job lists (§7.3).
type Inventory struct {
	Format   Format
	Start    time.Time // created at or after; zero for no bound; whole seconds
	End      time.Time // created before; zero for no bound; whole seconds
	Limit    int64     // items at most; zero for no bound
	Marker   string    // position given in the request, "" for the start
	Snapshot time.Time // the instant the inventory describes
	Next     string    // position after the last item delivered, "" at the end; set at success
}

// Garbage is a blob that no body names any more.
type Garbage struct {
	Blob  BlobID
	Ref   BlobRef
	Size  int64
	Since time.Time
}

// ScrubState is how far the reading of everything has come.
type ScrubState struct {
	Started time.Time // of the pass under way; zero if none is
	Cursor  BlobID    // the last blob it has looked at
	Tally   Tally     // of the pass under way
	// LastStarted and Finished are when the last whole pass began and ended,
	// zero if there was none; Last is what it found.
	LastStarted, Finished time.Time
	Last                  Tally
}

// Next is when a pass is due that begins a period after the last one began.
func (s *ScrubState) Next(period time.Duration) time.Time {
	if next := s.LastStarted.Add(period); next.After(s.Finished) {
		return next
	}
	return s.Finished
}

// Tally counts what a pass found.
type Tally struct {
	Blobs, Bytes     int64
	Faulty, Repaired int64 // blobs
}

// Add adds what another part of the pass found.
func (t *Tally) Add(o Tally) {
	t.Blobs += o.Blobs
	t.Bytes += o.Bytes
	t.Faulty += o.Faulty
	t.Repaired += o.Repaired
}
