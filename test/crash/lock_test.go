package crash_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"moraine/test/internal/vaultclient"
)

// A vault with a lock is one of its own, since the lock may become final. Its
// lock policy retains every archive for a year.
const (
	openLocks    = 3  // vaults whose lock is not final, at a time
	locksPerKill = 3  // vaults that may be made between two kills
	retained     = 2  // archives of such a vault
	lockSample   = 40 // final locks looked at after a kill
)

// lockVault is a vault with a lock. The register holds the state of the lock and
// its policy, which belong together.
type lockVault struct {
	register
	name     string
	id       string     // of the lock in progress, "" if nobody was told
	archives []*archive // those it retains
	created  string     // date of the lock, once it is final
}

// The states of a lock, as GetVaultLock names them.
const (
	inProgress = "InProgress"
	locked     = "Locked"
)

// lockText tells a lock as a register does.
func lockText(state, policy string) string { return state + "\n" + policy }

func (v *lockVault) state() (state, policy string) {
	state, policy, _ = strings.Cut(v.acked, "\n")
	return state, policy
}

// lock makes a step with the lock of some vault, or tries to get around it.
func (w *worker) lock(ctx context.Context) error {
	v, fresh := w.l.claimLock(w.r)
	switch {
	case fresh:
		return w.newLockVault(ctx)
	case v == nil:
		return nil
	}
	return w.stepLock(ctx, v)
}

// claimLock picks a vault that nobody works on, one whose lock goes on rather
// than one whose lock is final, or says that it is time for a new one.
func (l *ledger) claimLock(r *rand.Rand) (v *lockVault, fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var goingOn, final []*lockVault
	open := l.locksComing
	for _, v := range l.locks {
		state, _ := v.state()
		if state != locked {
			open++
		}
		switch {
		case v.busy:
		case state == locked:
			final = append(final, v)
		default:
			goingOn = append(goingOn, v)
		}
	}
	if l.locksLeft > 0 && open < openLocks {
		l.locksLeft--
		l.locksComing++
		return nil, true
	}
	if len(goingOn) == 0 || len(final) > 0 && r.IntN(3) == 0 {
		goingOn = final
	}
	if len(goingOn) == 0 {
		return nil, false
	}
	v = goingOn[r.IntN(len(goingOn))]
	v.claim()
	return v, false
}

// claimInProgress picks a vault whose lock can be completed.
func (l *ledger) claimInProgress() *lockVault {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.locks {
		if state, _ := v.state(); state == inProgress && v.id != "" && v.claim() {
			return v
		}
	}
	return nil
}

// newLockVault makes a vault with archives. A kill in between leaves a vault
// nobody looks at again.
func (w *worker) newLockVault(ctx context.Context) error {
	defer w.l.do(func() { w.l.locksComing-- })
	v := &lockVault{name: fmt.Sprintf("crash-lock-%d", w.l.number())}
	if err := w.settle("create vault", w.c.CreateVault(ctx, v.name)); err != nil {
		return err
	}
	for range retained {
		a, err := w.retain(ctx, v.name)
		if err != nil {
			return err
		}
		v.archives = append(v.archives, a)
	}
	w.l.do(func() {
		for _, a := range v.archives {
			w.l.archives[a.id] = a
		}
		w.l.locks = append(w.l.locks, v)
	})
	return nil
}

// retain uploads an archive that the workload does not delete.
func (w *worker) retain(ctx context.Context, vault string) (*archive, error) {
	a := &archive{
		vault: vault, description: fmt.Sprintf("retained %d", w.l.number()), retained: true,
		payload: w.l.payload(w.r, 4096+w.r.Int64N(4096)),
	}
	var err error
	a.id, err = w.c.UploadArchive(ctx, vault, a.description, a.payload)
	return a, w.settle("upload small", err)
}

// stepLock does the next thing with a lock this worker has claimed.
func (w *worker) stepLock(ctx context.Context, v *lockVault) error {
	state, _ := v.state()
	dice := w.r.IntN(100)
	switch {
	case state == "":
		return w.initiateLock(ctx, v)
	case state == inProgress && v.id != "" && dice < 4:
		return w.completeLock(ctx, v)
	case state == inProgress && (v.id == "" || dice < 50):
		return w.write(ctx, "abort lock", &v.register, change{"", func(ctx context.Context) error {
			return w.c.AbortLock(ctx, v.name)
		}})
	}
	err := w.defyLock(ctx, v, state)
	if err == nil {
		w.l.do(func() { v.busy = false })
	}
	return err
}

func (w *worker) initiateLock(ctx context.Context, v *lockVault) error {
	text := w.lockPolicy(v.name)
	v.id = ""
	return w.write(ctx, "initiate lock", &v.register, change{lockText(inProgress, text), func(ctx context.Context) (err error) {
		v.id, err = w.c.InitiateLock(ctx, v.name, text)
		return err
	}})
}

func (w *worker) completeLock(ctx context.Context, v *lockVault) error {
	_, policy := v.state()
	return w.write(ctx, "complete lock", &v.register, change{lockText(locked, policy), func(ctx context.Context) error {
		return w.c.CompleteLock(ctx, v.name, v.id)
	}})
}

// lockPolicy retains for a year.
func (w *worker) lockPolicy(vault string) string {
	return policyText(w.r, statement(w.l.number(), "retain", "Deny", "*", "DeleteArchive", arn(vault),
		`"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}`))
}

// defyLock tries what a lock forbids.
func (w *worker) defyLock(ctx context.Context, v *lockVault, state string) error {
	a := v.archives[w.r.IntN(len(v.archives))]
	switch dice := w.r.IntN(4); {
	case dice == 0 && state == locked:
		return w.refused("abort final lock", w.c.AbortLock(ctx, v.name), denied)
	case dice == 1:
		_, err := w.c.InitiateLock(ctx, v.name, w.lockPolicy(v.name))
		return w.refused("initiate second lock", err, denied)
	case dice == 2 && w.l.auditor != nil:
		c := as(w.c, w.l.auditor)
		defer c.Close()
		return w.refused("delete retained by user", c.DeleteArchive(ctx, v.name, a.id), denied)
	}
	return w.refused("delete retained by root", w.c.DeleteArchive(ctx, v.name, a.id), denied)
}

// someLocks picks the vaults to look at after a kill: all whose lock is not
// final, and some of the others.
func (v *verifier) someLocks() []*lockVault {
	var some, final []*lockVault
	for _, lock := range v.l.locks {
		if state, _ := lock.state(); state == locked && !lock.busy {
			final = append(final, lock)
		} else {
			some = append(some, lock)
		}
	}
	if !v.all && len(final) > lockSample {
		v.r.Shuffle(len(final), func(i, k int) { final[i], final[k] = final[k], final[i] })
		final = final[:lockSample]
	}
	return append(some, final...)
}

// readLocks reads the locks back, in full and in force. The archives of the
// vaults are looked at like all others.
func (v *verifier) readLocks(ctx context.Context, c *vaultclient.Client, sample []*lockVault) {
	for _, lock := range sample {
		if err := v.readLock(ctx, c, lock); err != nil {
			v.l.fault("lock of %s: %v", lock.name, err)
			continue
		}
		if state, _ := lock.state(); state != "" {
			v.defyLock(ctx, c, lock)
		} else {
			v.withdrawn(ctx, c, lock)
		}
	}
}

func (v *verifier) readLock(ctx context.Context, c *vaultclient.Client, lock *lockVault) error {
	got, err := c.GetLock(ctx, lock.name)
	text, err := absent(lockText(got.State, got.Policy), err)
	if err != nil {
		return err
	}
	v.check(&lock.register, text, "lock of "+lock.name)
	if text == "" {
		return nil
	}
	if got.CreationDate == nil || (got.State == locked) != (got.ExpirationDate == nil) {
		v.l.fault("%s: the lock of %s is %s with dates %v, %v", half, lock.name, got.State, got.CreationDate, got.ExpirationDate)
		return nil
	}
	if got.State == locked {
		if lock.created != "" && lock.created != *got.CreationDate {
			v.l.fault("%s: the lock of %s is of %s, was of %s", lost, lock.name, *got.CreationDate, lock.created)
		}
		lock.created = *got.CreationDate
	}
	return nil
}

// defyLock tries to delete what a lock retains, as root and as a user who may do
// everything.
func (v *verifier) defyLock(ctx context.Context, c *vaultclient.Client, lock *lockVault) {
	callers := []*vaultclient.Client{c}
	if v.l.auditor != nil {
		user := as(c, v.l.auditor)
		defer user.Close()
		callers = append(callers, user)
	}
	for _, caller := range callers {
		for _, a := range lock.archives {
			if err := caller.DeleteArchive(ctx, lock.name, a.id); !vaultclient.IsRefused(err, denied) {
				v.l.fault("%s: deletion of %s, which the lock of %s retains, by %s: %v", lost, a.id, lock.name, caller.Credentials.KeyID, err)
			}
		}
	}
}

// withdrawn makes sure that without a lock nothing is retained: it puts another
// archive in the place of one.
func (v *verifier) withdrawn(ctx context.Context, c *vaultclient.Client, lock *lockVault) {
	old := lock.archives[0]
	if err := c.DeleteArchive(ctx, lock.name, old.id); err != nil {
		v.l.fault("%s: deletion of %s in %s, which has no lock: %v", half, old.id, lock.name, err)
		return
	}
	w := &worker{l: v.l, c: c, r: v.r, kill: new(kill)}
	next, err := w.retain(ctx, lock.name)
	if err != nil {
		v.l.fault("upload to %s: %v", lock.name, err)
		return
	}
	v.l.do(func() {
		old.fate = deleted
		v.l.archives[next.id] = next
		lock.archives[0] = next
	})
}
