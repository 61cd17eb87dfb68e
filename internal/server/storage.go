package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"moraine"
	"moraine/internal/blob/mirror"
	"moraine/internal/config"
	"moraine/internal/disk"
	"moraine/internal/meta"
	"moraine/internal/trace"
)

// storageWanted is what the operator says about directories of blobs.
type storageWanted struct {
	blobs   string        // s3://bucket/prefix; "" for packs in the data directory
	bucket  config.Bucket // how buckets are reached
	mirror  string        // directory, or s3://bucket/prefix; "" for none
	ack     string        // one of config's
	rate    int64         // bytes per second that are read to make copies; 0 for no bound
	rebuild string        // the role of the directory that is on a new disk; "" for none
	// check opens what is there and changes nothing. The mirror may be left out.
	check  bool
	tracer *trace.Tracer // of reads and writes; nil for none
}

func wanted(st config.Storage, rebuild string) storageWanted {
	return storageWanted{
		blobs: st.Blobs, bucket: st.Bucket, mirror: st.Mirror, ack: st.MirrorAck, rate: st.MirrorRate, rebuild: rebuild,
	}
}

// storage is the directories of blobs, found to be the right ones.
type storage struct {
	d       *data
	record  record
	buckets buckets  // closed by those who use them, once they do
	mirror  string   // absolute path, or s3://bucket/prefix; "" for none
	lock    held     // of the mirror; nil for none
	notes   []string // what the operator should know
}

// settleStorage finds out whether the directories of blobs are those that belong
// to the data directory. An unmounted or foreign directory taken for the right
// one would be filled with other blobs, and its own be lost sight of; one taken
// for an empty disk would be filled with copies of everything. So each directory
// says what it is, the data directory says what belongs to it, and a directory
// that says nothing is taken for a new disk at the operator's word alone.
func (d *data) settleStorage(ctx context.Context, rows meta.Store, want storageWanted, log *slog.Logger) (_ *storage, err error) {
	st := &storage{d: d}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.buckets.Close(), st.Close())
		}
	}()
	if st.buckets, st.notes, err = openBuckets(ctx, want, log); err != nil {
		return st, err
	}
	var found bool
	if st.record, found, err = d.readRecord(); err != nil {
		return st, err
	}
	named, err := namesBlobs(ctx, rows)
	if err != nil {
		return st, err
	}
	primary, err := st.lookAtPrimary(ctx, want)
	if err != nil {
		return st, err
	}
	if !found {
		if err := st.adopt(ctx, primary, named, want); err != nil {
			return st, err
		}
	}
	second, err := st.lookAtMirror(ctx, want)
	if err != nil {
		return st, err
	}
	if want.rebuild != "" {
		if err := st.beginRebuild(ctx, primary, second, named, want.rebuild); err != nil {
			return st, err
		}
		return st, nil
	}
	if found {
		if err := st.fits(primary); err != nil {
			return st, err
		}
	}
	if second == nil {
		return st, nil
	}
	if second.bucket == nil && primary.bucket == nil && disk.SameFS(second.path, d.dir) {
		st.notes = append(st.notes, "storage.mirror is on the file system of the data directory, so that one disk takes both copies with it")
	}
	return st, st.settleMirror(ctx, *second, named, want)
}

// namesBlobs reports whether the rows name any blob.
func namesBlobs(ctx context.Context, rows meta.Store) (some bool, err error) {
	err = rows.View(ctx, func(tx meta.Tx) error {
		some, err = namesAny(tx)
		return err
	})
	return some, err
}

// namesAny is namesBlobs in a transaction.
func namesAny(tx meta.Tx) (bool, error) {
	list, err := tx.Bodies().Blobs(moraine.BlobID{}, 1)
	return len(list) > 0, err
}

// lookAtPrimary looks at where the first copies are.
func (st *storage) lookAtPrimary(ctx context.Context, want storageWanted) (blobDir, error) {
	packs, err := st.d.lookAt(st.d.path(packsDir), mirror.Primary)
	bucket := st.buckets[mirror.Primary]
	if err != nil || bucket == nil {
		return packs, err
	}
	if packs.stocked {
		return packs, fmt.Errorf("%s holds blobs, and blobs says that they are in %s; start without blobs, or with another data directory", packs.path, want.blobs)
	}
	return lookAtBucket(ctx, bucket, want.blobs, mirror.Primary)
}

// stick makes a directory or a bucket say what it is, durably.
func (st *storage) stick(ctx context.Context, b blobDir, l label) error {
	if b.bucket != nil {
		return stickBucket(ctx, b.bucket, b.path, l)
	}
	return st.d.stick(b.path, l)
}

// adopt gives a data directory its record: it is new, or from before there were
// records.
func (st *storage) adopt(ctx context.Context, primary blobDir, named bool, want storageWanted) error {
	if st.d.shared {
		return st.join(ctx, primary, named, want)
	}
	switch {
	case primary.bucket != nil && primary.stocked:
		return fmt.Errorf("%s holds blobs of another data directory; restore that directory, or name an empty prefix", primary.path)
	case want.rebuild != "":
		return fmt.Errorf("there is nothing to rebuild from: %s never had a second copy", st.d.dir)
	case named && !primary.stocked:
		return fmt.Errorf("the rows of %s name blobs, but %s holds none; mount it, or restore both from the same backup", st.d.dir, primary.path)
	case primary.label != nil && primary.label.role != mirror.Primary:
		return fmt.Errorf("%s is the mirror of another data directory", primary.path)
	}
	if want.check {
		return nil
	}
	st.record.set, st.record.stores[mirror.Primary] = newStoreID(), newStoreID()
	if primary.label != nil {
		// A crash came between the two files, or the second was lost.
		st.record.set, st.record.stores[mirror.Primary] = primary.label.set, primary.label.store
	} else if err := st.stick(ctx, primary, st.record.label(mirror.Primary)); err != nil {
		return err
	}
	// The packs say what they are. A crash on the next line leaves them without a
	// record, and they are adopted again.
	return st.d.writeRecord(st.record)
}

// join gives a server that keeps nothing the record of those that share its rows
// and its bucket. All of them write the same, so that it does no harm if several
// start on empty ones at the same time.
func (st *storage) join(ctx context.Context, primary blobDir, named bool, want storageWanted) error {
	id, err := st.d.database()
	if err != nil {
		return err
	}
	st.record.set, st.record.stores[mirror.Primary] = storeIDOf("set", id), storeIDOf(mirror.Primary, id)
	own := st.record.label(mirror.Primary)
	switch l := primary.label; {
	case l != nil && *l == own:
	case l != nil:
		return fmt.Errorf("%s belongs to another database than the one that meta or meta_file names; name the right one", primary.path)
	case primary.stocked:
		return fmt.Errorf("%s holds blobs and lacks its object %s; restore that object, or name the right bucket", primary.path, identityFile)
	case named:
		return fmt.Errorf("the rows name blobs, but %s holds none; name the right bucket, or restore both from the same backup", primary.path)
	case want.check:
		return nil
	default:
		if err := st.stick(ctx, primary, own); err != nil {
			return err
		}
	}
	return st.d.writeRecord(st.record)
}

// storeIDOf is the id of a store of a database that servers share.
func storeIDOf(role, database string) string {
	sum := sha256.Sum256([]byte(role + " " + database))
	return hex.EncodeToString(sum[:16])
}

// fits refuses a directory that is not the one on record.
func (st *storage) fits(b blobDir) error {
	l, known := b.label, st.record.stores
	switch {
	case l != nil && *l == st.record.label(b.role):
		return nil
	case l != nil && l.set != st.record.set:
		return fmt.Errorf("%s belongs to another data directory than %s; name the right one", b.path, st.d.dir)
	case l != nil && l.role != b.role && l.store == known[l.role]:
		return fmt.Errorf("%s is the %s of %s and was given as its %s: the two are swapped", b.path, l.role, st.d.dir, b.role)
	case l != nil:
		return fmt.Errorf("%s was once the %s of %s, and another took its place; name that one", b.path, l.role, st.d.dir)
	case b.stocked:
		return fmt.Errorf("%s holds blobs and lacks its file %s; restore that file, or name the right directory", b.path, identityFile)
	case known[other(b.role)] == "":
		return fmt.Errorf("%s is missing or empty, and lacks its file %s; mount it, or restore rows and packs from the same backup", b.path, identityFile)
	}
	return fmt.Errorf("%s is missing or empty and should be the %s; mount the right disk, or, if it is lost, put an empty one there and start with --rebuild %s", b.path, b.role, b.role)
}

func other(role string) string {
	if role == mirror.Primary {
		return mirror.Second
	}
	return mirror.Primary
}

// lookAtMirror looks at the directory that is to hold the second copies, and
// keeps other processes out of it; nil if there is none.
func (st *storage) lookAtMirror(ctx context.Context, want storageWanted) (*blobDir, error) {
	known := st.record.stores[mirror.Second]
	if want.mirror == "" {
		switch {
		case known == "":
			return nil, nil //nolint:nilnil // there is none
		case want.check:
			st.notes = append(st.notes, "the second copies are left out, since storage.mirror is not set")
			return nil, nil //nolint:nilnil // there is none
		}
		return nil, fmt.Errorf("%s has a second copy, and storage.mirror does not say where; name its directory, or run `moraine mirror detach` to go on with one copy", st.d.dir)
	}
	if bucket := st.buckets[mirror.Second]; bucket != nil {
		b, err := lookAtBucket(ctx, bucket, want.mirror, mirror.Second)
		st.mirror = want.mirror
		return &b, err
	}
	path, err := filepath.Abs(want.mirror)
	if err != nil {
		return nil, fmt.Errorf("storage.mirror: %w", err)
	}
	if sameDir(path, st.d.path(packsDir)) || sameDir(path, st.d.dir) {
		return nil, fmt.Errorf("storage.mirror is %s, where the first copy is; name a directory on another disk", path)
	}
	b, err := st.d.lookAt(path, mirror.Second)
	if err != nil {
		return nil, err
	}
	st.mirror = path
	if !b.present && (known != "" && want.rebuild != mirror.Second || want.check) {
		return &b, nil // it will be refused, and is not to be made
	}
	if err := disk.MkdirAll(st.d.fsys, path); err != nil {
		return nil, fmt.Errorf("the directory of storage.mirror cannot be made: %w", err)
	}
	st.lock, err = st.d.place.lock(filepath.Join(path, lockFile))
	var used *disk.LockedError
	if errors.As(err, &used) {
		return nil, fmt.Errorf("the mirror %s is in use by %s; name a directory of its own for each data directory", path, used.Holder)
	}
	if err != nil {
		return nil, fmt.Errorf("the mirror %s cannot be locked: %w", path, err)
	}
	return &b, nil
}

// settleMirror accepts the mirror that is known, or sets one up.
func (st *storage) settleMirror(ctx context.Context, b blobDir, named bool, want storageWanted) error {
	if st.record.stores[mirror.Second] != "" {
		return st.fits(b)
	}
	l := b.label
	switch {
	case want.check:
		return fmt.Errorf("%s never had a second copy; leave storage.mirror out", st.d.dir)
	case l != nil && (l.set != st.record.set || l.role != mirror.Second):
		return fmt.Errorf("%s belongs to another data directory than %s, or is no mirror; name an empty directory", b.path, st.d.dir)
	case l == nil && b.other:
		return fmt.Errorf("%s is not empty; name an empty directory for the mirror", b.path)
	case l != nil && b.stocked && !named:
		return fmt.Errorf("%s is a former mirror with blobs, and the rows name none: they were lost; restore them", b.path)
	}
	next := record{
		set:    st.record.set,
		stores: map[string]string{mirror.Primary: st.record.stores[mirror.Primary], mirror.Second: newStoreID()},
		// References may name copies of a mirror that was detached.
		rebuilding: map[string]bool{mirror.Second: named},
	}
	if l != nil {
		// A crash came between the two files, or this mirror was detached once.
		// What was deleted since is found by the search for orphans, and what was
		// put since by the look at every row.
		next.stores[mirror.Second] = l.store
	} else if err := st.stick(ctx, b, next.label(mirror.Second)); err != nil {
		return err
	}
	// The mirror says whose it is. A crash on the next line leaves an empty one
	// without a record, which the next start takes as its own.
	if err := st.d.writeRecord(next); err != nil {
		return err
	}
	st.record = next
	return nil
}

// beginRebuild takes an empty directory for the new disk of a role.
func (st *storage) beginRebuild(ctx context.Context, primary blobDir, second *blobDir, named bool, role string) error {
	if second == nil || st.record.stores[mirror.Second] == "" {
		return fmt.Errorf("there is nothing to rebuild from: %s has no second copy, or storage.mirror does not say where", st.d.dir)
	}
	lost, kept := primary, *second
	if role == mirror.Second {
		lost, kept = *second, primary
	}
	if err := st.fits(kept); err != nil {
		return err
	}
	switch l := lost.label; {
	case l != nil && *l == st.record.label(role) && st.record.rebuilding[role]:
		return nil // it goes on
	case l != nil && *l == st.record.label(role):
		return fmt.Errorf("%s is the %s and needs no rebuilding; start without --rebuild", lost.path, role)
	case l != nil || lost.other:
		return fmt.Errorf("%s is not empty; put an empty disk there to have it rebuilt", lost.path)
	case named && !kept.stocked:
		return fmt.Errorf("%s and %s are both empty although the rows name blobs; mount the disks, or restore rows and packs from the same backup", lost.path, kept.path)
	}
	next := record{set: st.record.set, stores: map[string]string{}, rebuilding: map[string]bool{role: true}}
	next.stores[role], next.stores[other(role)] = newStoreID(), st.record.stores[other(role)]
	next.rebuilding[other(role)] = st.record.rebuilding[other(role)]
	if err := st.d.writeRecord(next); err != nil {
		return err
	}
	// On record now: the rebuilding, and that what was there before does not
	// belong here any more. A crash on the next line leaves a directory that says
	// nothing, for which the word is asked again.
	st.record = next
	return st.stick(ctx, lost, next.label(role))
}

// rebuilt ends the rebuilding.
func (st *storage) rebuilt() error {
	next := record{set: st.record.set, stores: st.record.stores}
	if err := st.d.writeRecord(next); err != nil {
		return err
	}
	st.record = next
	return nil
}

// rebuilding names the directories that are being rebuilt.
func (st *storage) rebuilding() []string {
	var all []string
	for _, role := range roles {
		if st.record.rebuilding[role] {
			all = append(all, role)
		}
	}
	return all
}

// Close gives the mirror up.
func (st *storage) Close() error {
	if st.lock == nil {
		return nil
	}
	lock := st.lock
	st.lock = nil
	return lock.Close()
}
