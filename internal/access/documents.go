package access

import (
	"encoding/json"
	"errors"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Names of the policies of a vault in decisions.
const (
	accessPolicyName = "access-policy"
	lockPolicyName   = "lock-policy"
)

// documentsOverhead is what an entry counts besides its texts.
const documentsOverhead = 512

// documents are what is attached to a vault at one revision, compiled. They do
// not change.
type documents struct {
	tags     []moraine.Tag
	access   *policy.Policy // nil if none
	lock     *policy.Policy // nil if none
	lockEnds time.Time      // of a lock in progress
	bytes    int            // of text
}

// lockAt returns the lock policy in force at an instant, nil if none: a lock
// that was not completed in time is as good as none at once.
func (d *documents) lockAt(now time.Time) *policy.Policy {
	if !d.lockEnds.IsZero() && !now.Before(d.lockEnds) {
		return nil
	}
	return d.lock
}

// documents returns what is attached to a vault; nil if nothing is, at no cost.
func (a *Authority) documents(tx meta.Tx, v *moraine.Vault) (*documents, error) {
	if v.Revision == 0 {
		return nil, nil
	}
	if d, ok := a.compiled.Get(v.Revision); ok {
		return d, nil
	}
	d, err := load(tx, v.ID)
	if err == nil {
		// No harm is done if the transaction is undone: no revision is ever used
		// again.
		a.compiled.Put(v.Revision, d, d.bytes)
	}
	return d, err
}

// load reads and compiles the documents of a vault.
func load(tx meta.Tx, v moraine.VaultID) (*documents, error) {
	d := &documents{bytes: documentsOverhead}
	var err error
	if d.tags, err = tx.Documents().Tags(v); err != nil {
		return nil, err
	}
	for _, t := range d.tags {
		d.bytes += len(t.Key) + len(t.Value)
	}
	p, err := tx.Documents().AccessPolicy(v)
	switch {
	case err == nil:
		d.access = compile(accessPolicyName, p)
		d.bytes += len(p.Text)
	case !errors.Is(err, meta.ErrNotFound):
		return nil, err
	}
	l, err := tx.Documents().Locks().Get(v)
	switch {
	case err == nil:
		d.lock, d.lockEnds = compile(lockPolicyName, l.Policy), l.Expires
		d.bytes += len(l.Policy.Text)
	case !errors.Is(err, meta.ErrNotFound):
		return nil, err
	}
	return d, nil
}

// compile parses a stored policy. One that does not parse any more denies
// everything (access-control §5.2).
func compile(name string, p moraine.VaultPolicy) *policy.Policy {
	out := &policy.Policy{Name: name}
	if json.Unmarshal([]byte(p.Principals), &out.Bindings) != nil {
		return out
	}
	if doc, err := policy.Parse([]byte(p.Text)); err == nil {
		out.Document = doc
	}
	return out
}
