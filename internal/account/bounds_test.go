package account_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// crowd puts users and their keys into the rows, as if the quotas were others,
// and returns the ids of the keys.
func (o *office) crowd(n int, texts ...string) []string {
	o.t.Helper()
	inline := make([]account.InlinePolicy, len(texts))
	for i, text := range texts {
		inline[i] = account.InlinePolicy{Name: fmt.Sprintf("p%03d", i), Text: text}
	}
	ids := make([]string, n)
	o.ok(o.rows.Update(o.t.Context(), func(tx meta.Tx) error {
		for i := range n {
			name, owner := fmt.Sprintf("crowd%d", i), fmt.Sprintf("AIDACROWD%012d", i)
			ids[i] = fmt.Sprintf("AKIACROWD%011d", i)
			document, err := json.Marshal(account.Entity{Name: name, Path: "/", Created: o.clock.Now(), Inline: inline})
			err = errors.Join(err,
				tx.Identities().Save(moraine.Identity{
					ID: owner, Account: here, Kind: user, Name: name, ARN: "arn:aws:iam::" + here + ":user/" + name, Document: document,
				}),
				tx.AccessKeys().Save(moraine.AccessKey{
					ID: ids[i], Account: here, Owner: owner, Active: true, Created: o.clock.Now(), Sealed: o.keyring.Seal([]byte("secret"), "secret:"+ids[i]),
				}))
			if err != nil {
				return err
			}
		}
		return nil
	}))
	return ids
}

// TestCompiledBound looks up many users with long policies, at the same time
// and again: what is kept of them stays bounded, and everybody may do what they
// may.
func TestCompiledBound(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const action = "glacier:ListVaults"
	// Forty users of 100,000 characters each.
	ids := o.crowd(40, allow(action), allow("glacier:"+strings.Repeat("?a", 50_000)))
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for _, id := range ids {
				k, err := o.Lookup(t.Context(), id, "")
				if err != nil {
					t.Error(err)
					return
				}
				if p := o.must(k, nil); !allowed(p, action) || allowed(p, "glacier:DeleteVault") {
					t.Errorf("%s may do other things than its policies say", p.ARN)
				}
			}
		})
	}
	wg.Wait()
	if got := o.CompiledText(); got > access.ShelfTextMax || got < access.ShelfTextMax/2 {
		t.Errorf("%d characters of policies are kept, at most %d may be", got, access.ShelfTextMax)
	}
}

// TestCompiledOnce looks one user up from many places at once: its policies are
// compiled one time.
func TestCompiledOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ids := o.crowd(1, allow("glacier:"+strings.Repeat("?a", 50_000)))
	var wg sync.WaitGroup
	begin := make(chan struct{})
	found := make(chan *policy.Document, 16)
	for range cap(found) {
		wg.Go(func() {
			<-begin
			k, err := o.Lookup(t.Context(), ids[0], "")
			if err != nil {
				t.Error(err)
				found <- nil
				return
			}
			found <- o.must(k, nil).Identity[0].Document
		})
	}
	close(begin)
	wg.Wait()
	first := <-found
	for range cap(found) - 1 {
		if d := <-found; d != first {
			t.Error("compiled more than once")
		}
	}
}

// TestTooMuchPolicy gives a user more text than one principal may have: it may
// do nothing, whatever the text allows.
func TestTooMuchPolicy(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const action = "glacier:ListVaults"
	var texts []string
	for range 3 {
		texts = append(texts, allow("glacier:"+strings.Repeat("a", 100_000)))
	}
	texts = append(texts, allow(action))
	p := o.must(o.Lookup(t.Context(), o.crowd(1, texts...)[0], ""))
	if allowed(p, action) {
		t.Error("a user with too long policies is allowed something")
	}
	for _, in := range p.Identity {
		if in.Document != nil {
			t.Errorf("the policy %s is kept", in.Name)
		}
	}
}

// TestTextBytes bounds what is stored of policies, whose quotas do not count
// white space.
func TestTextBytes(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	o.create(user, "bob")
	blank := func(n int) string { return allow("a:b") + strings.Repeat(" ", n-len(allow("a:b"))) }
	longest := blank(account.TextBytesMax)
	o.ok(o.PutInline(ctx, o.root, user, "bob", "a", longest))
	m, err := o.CreatePolicy(ctx, o.root, account.NewPolicy{Name: "m", Text: longest})
	o.ok(err)
	const tooLong = "1 validation error detected: Value at 'policyDocument' failed to satisfy constraint: Member must have length less than or equal to 32768"
	for _, row := range []struct {
		name string
		do   func(text string) error
	}{
		{"inline", func(text string) error { return o.PutInline(ctx, o.root, user, "bob", "b", text) }},
		{"managed", func(text string) error {
			_, err := o.CreatePolicy(ctx, o.root, account.NewPolicy{Name: "n", Text: text})
			return err
		}},
		{"version", func(text string) error { _, _, err := o.AddPolicyVersion(ctx, o.root, m.ARN, text, true); return err }},
		{"trust", func(text string) error {
			_, err := o.Create(ctx, o.root, account.NewEntity{Kind: role, Name: "r", Trust: strings.Replace(text, `"Resource":"*"`, `"Principal":"*"`, 1)})
			return err
		}},
		{"session", func(text string) error {
			_, err := o.AssumeRole(ctx, o.root, account.AssumeRole{RoleARN: "arn:aws:iam::" + here + ":role/r", SessionName: "s1", Policy: text})
			return err
		}},
	} {
		wantCode(t, row.do(longest+" "), account.ValidationError, tooLong)
	}
	o.ok(o.PutInline(ctx, o.root, user, "bob", "b", longest))
	o.ok(o.PutInline(ctx, o.root, user, "bob", "b", longest)) // what is replaced does not count
	wantCode(t, o.PutInline(ctx, o.root, user, "bob", "c", allow("a:b")), account.LimitExceeded, "Maximum policy size of 65536 bytes exceeded for user bob, white space counted")
}

// TestPageBytes lists roles with long trust policies: a page ends when it is
// long enough, and nobody is left out.
func TestPageBytes(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const roles = 300 // of 32 KiB each
	text := trust("*") + strings.Repeat(" ", account.TextBytesMax-len(trust("*")))
	o.ok(o.rows.Update(t.Context(), func(tx meta.Tx) error {
		for i := range roles {
			name := fmt.Sprintf("role%03d", i)
			document, err := json.Marshal(account.Entity{Name: name, Path: "/", Role: &account.RoleProperties{Trust: text}})
			err = errors.Join(err, tx.Identities().Save(moraine.Identity{
				ID: fmt.Sprintf("AROACROWD%012d", i), Account: here, Kind: role, Name: name, ARN: "arn:aws:iam::" + here + ":role/" + name, Document: document,
			}))
			if err != nil {
				return err
			}
		}
		return nil
	}))
	p := account.Page{MaxItems: 1000}
	seen, pages := 0, 0
	for {
		list, err := o.List(t.Context(), o.root, role, "", p)
		o.ok(err)
		bytes := 0
		for i, e := range list.List {
			if want := fmt.Sprintf("role%03d", seen+i); e.Name != want {
				t.Fatalf("got %s, want %s", e.Name, want)
			}
			bytes += len(e.Role.Trust)
		}
		if bytes > account.PageBytesMax {
			t.Errorf("a page of %d roles has %d bytes", len(list.List), bytes)
		}
		seen, pages = seen+len(list.List), pages+1
		if list.Next == "" {
			break
		}
		p.Marker = list.Next
	}
	if seen != roles || pages < 3 {
		t.Errorf("%d roles on %d pages", seen, pages)
	}
}
