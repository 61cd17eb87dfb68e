package account_test

import (
	"errors"
	"testing"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/sigv4"
)

// TestKeyCommitFaults fails the commit that takes a key away. Lost: the key
// works on. Kept: it does not work any more, although the caller was told
// otherwise: not in this process, not for a request under way, not in the next
// process. Taken away once more, it is gone either way.
func TestKeyCommitFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		take  func(o *office, id string) error
		again account.Code // of the refusal when what was kept is repeated, "" for none
	}{
		{"deactivate", func(o *office, id string) error { return o.SetKeyActive(o.t.Context(), o.root, "bob", id, false) }, ""},
		{"delete", func(o *office, id string) error { return o.DeleteKey(o.t.Context(), o.root, "bob", id) }, account.NoSuchEntity},
	} {
		for _, fault := range []metatest.Fault{metatest.Lost, metatest.Kept} {
			t.Run(c.name+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				o := newOffice(t)
				rows := &metatest.Faults{Store: o.rows}
				o.rows = rows
				o.Service = o.service()
				o.create(user, "bob")
				k := o.key("bob")
				underWay := o.as(k).Principal

				rows.Fail(fault, 0)
				if err := c.take(o, k.ID); !moraine.IsKind(err, moraine.Unavailable) {
					t.Fatalf("the commit failed, and the caller is told %v", err)
				}
				o.wantKey(k.ID, &underWay, fault == metatest.Lost)
				o.Service = o.service()
				o.wantKey(k.ID, &underWay, fault == metatest.Lost)
				err := c.take(o, k.ID)
				want := account.Code("")
				if fault == metatest.Kept {
					want = c.again
				}
				if got := codeOf(err); got != want || (err == nil) != (want == "") {
					t.Errorf("done again: %v, want code %q", err, want)
				}
				o.wantKey(k.ID, &underWay, false)
			})
		}
	}
}

// codeOf is the code of a refusal, "" for none.
func codeOf(err error) account.Code {
	var refusal *account.Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}

// wantKey wants a key to work or not, for a request that begins and for one that
// began before.
func (o *office) wantKey(id string, underWay *access.Principal, works bool) {
	o.t.Helper()
	if _, err := o.Lookup(o.t.Context(), id, ""); (err == nil) != works || err != nil && !errors.Is(err, sigv4.ErrUnknownKey) {
		o.t.Errorf("Lookup: %v, want the key to work: %v", err, works)
	}
	err := o.rows.View(o.t.Context(), func(tx meta.Tx) error {
		_, err := underWay.Fresh(tx)
		return err
	})
	if (err == nil) != works {
		o.t.Errorf("a request under way: %v, want the key to work: %v", err, works)
	}
}
