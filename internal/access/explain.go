package access

import (
	"errors"
	"slices"
	"strconv"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Supposition is what a question supposes instead of what the rows say. The
// zero value supposes nothing.
type Supposition struct {
	HasAge  bool
	AgeDays int64         // of an archive of the vault, if HasAge
	Tags    []moraine.Tag // the vault is to have; they replace those with the same key
}

// Explanation is a decision with what it rests on.
type Explanation struct {
	policy.Decision
	// Foreign says that the account of the act was refused before any policy was
	// read.
	Foreign  bool
	Resource string // ARN
	Denial   string // the sentence a client would see, "" if allowed

	Vault moraine.Vault // that of the act
	Found bool          // there is such a vault
	Lock  moraine.Lock  // of the vault as it is stored; no state if none
}

// Explain answers what Admit would, and why. It is for operators: it tells
// what the owner of a vault knows, whoever the principal is.
func (a *Authority) Explain(tx meta.Tx, c Call, act Act, s Supposition) (Explanation, error) {
	g, docs, err := a.resolve(tx, &c, &act)
	x := Explanation{Resource: resource(&act, &g), Vault: g.vault, Found: g.found}
	var refused *moraine.Error
	if errors.As(err, &refused) && refused.Kind == moraine.Denied {
		x.Foreign, x.Denial = true, refused.Message
		return x, nil
	}
	if err != nil {
		return x, err
	}
	if g.found {
		x.Lock, err = tx.Documents().Locks().Get(g.vault.ID)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return x, err
		}
	}
	var r policy.Request
	if s.HasAge {
		r.Context.Add(keyArchiveAge, strconv.FormatInt(s.AgeDays, 10))
	}
	x.Decision, err = a.evaluate(tx, &r, &c, &act, &g, docs.supposing(s.Tags))
	if err == nil && !x.Allowed {
		x.Denial = x.Decision.Denial(&r)
	}
	return x, err
}

// supposing returns the documents with other tags.
func (d *documents) supposing(tags []moraine.Tag) *documents {
	if len(tags) == 0 {
		return d
	}
	var other documents
	if d != nil {
		other = *d
	}
	other.tags = slices.DeleteFunc(slices.Clone(other.tags), func(old moraine.Tag) bool {
		return slices.ContainsFunc(tags, func(t moraine.Tag) bool { return t.Key == old.Key })
	})
	other.tags = append(other.tags, tags...)
	return &other
}
