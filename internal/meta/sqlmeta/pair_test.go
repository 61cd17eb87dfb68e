package sqlmeta_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
)

// steps are changes that services make of more than one row in a transaction.
// state prints the rows a step changes.
var steps = []struct {
	name           string
	before, change func(tx meta.Tx) error
	state          func(tx meta.Tx) (string, error)
	from, to       string
}{
	{
		"end of a job and the message about it",
		func(tx meta.Tx) error { return tx.Jobs().Save(pairJob(moraine.InProgress)) },
		func(tx meta.Tx) error {
			return errors.Join(tx.Outbox().Save(pairMessage), tx.Jobs().Save(pairJob(moraine.Succeeded)))
		},
		func(tx meta.Tx) (string, error) {
			j, err := tx.Jobs().Get("j")
			list, listErr := tx.Outbox().List(moraine.MessagePending, "", 10)
			return fmt.Sprint(j.State, " ", len(list)), errors.Join(err, listErr)
		},
		"InProgress 0", "Succeeded 1",
	},
	{
		"message delivered",
		func(tx meta.Tx) error { return tx.Outbox().Save(pairMessage) },
		func(tx meta.Tx) error { return tx.Outbox().Drop(pairMessage.ID) },
		func(tx meta.Tx) (string, error) {
			list, err := tx.Outbox().List(moraine.MessagePending, "", 10)
			return fmt.Sprint(len(list)), err
		},
		"1", "0",
	},
	{
		"lock completed",
		savePairLock(1, moraine.LockInProgress, benchTime.Add(time.Hour)),
		savePairLock(2, moraine.LockLocked, time.Time{}),
		func(tx meta.Tx) (string, error) {
			v, err := tx.Vaults().ByID("v")
			l, lockErr := tx.Documents().Locks().Get("v")
			return fmt.Sprint(v.Revision, " ", l.State, " ", l.Policy.Text, " ", l.Expires.IsZero()), errors.Join(err, lockErr)
		},
		"1 " + string(moraine.LockInProgress) + " lock false", "2 " + string(moraine.LockLocked) + " lock true",
	},
	{
		"access policy set",
		savePairPolicy(1, "old"),
		savePairPolicy(2, "new"),
		func(tx meta.Tx) (string, error) {
			v, err := tx.Vaults().ByID("v")
			p, policyErr := tx.Documents().AccessPolicy("v")
			return fmt.Sprint(v.Revision, " ", p.Text), errors.Join(err, policyErr)
		},
		"1 old", "2 new",
	},
	{
		"key deactivated",
		func(tx meta.Tx) error {
			return errors.Join(tx.Accounts().Insert(moraine.Account{ID: benchAccount, Created: benchTime}), tx.AccessKeys().Save(pairKey(true)))
		},
		func(tx meta.Tx) error { return tx.AccessKeys().Save(pairKey(false)) },
		func(tx meta.Tx) (string, error) {
			a, err := tx.Accounts().Get(benchAccount)
			k, keyErr := tx.AccessKeys().Get("AKIA")
			return fmt.Sprint(a.Revision, " ", k.Active), errors.Join(err, keyErr)
		},
		"1 true", "2 false",
	},
}

var pairMessage = moraine.Message{
	ID: "m", Topic: "arn:aws:sns:x", Source: "arn", Event: moraine.ArchiveRetrievalCompleted, Job: "j", Body: "{}",
	State: moraine.MessagePending, Created: benchTime, Next: benchTime,
}

func pairJob(state moraine.JobState) moraine.Job {
	j := moraine.Job{
		ID: "j", Vault: "v", Body: "b", Action: moraine.ArchiveRetrieval, State: state, Created: benchTime, Due: benchTime,
		Retrieval: &moraine.Retrieval{Archive: "a", ArchiveSize: 1},
	}
	if state != moraine.InProgress {
		j.Completed, j.Expires = benchTime.Add(time.Minute), benchTime.Add(time.Hour)
	}
	return j
}

func pairKey(active bool) moraine.AccessKey {
	return moraine.AccessKey{ID: "AKIA", Account: benchAccount, Owner: "AIDA", Active: active, Created: benchTime, Sealed: []byte("sealed")}
}

func savePairVault(tx meta.Tx, revision int64) error {
	return tx.Vaults().Save(moraine.Vault{
		ID: "v", Account: benchAccount, Region: benchRegion, Name: "v", Created: benchTime, Revision: revision,
	})
}

func savePairLock(revision int64, state moraine.LockState, expires time.Time) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		return errors.Join(savePairVault(tx, revision), tx.Documents().Locks().Save(moraine.Lock{
			Vault: "v", Policy: moraine.VaultPolicy{Text: "lock"}, State: state, Created: benchTime, Expires: expires,
		}))
	}
}

func savePairPolicy(revision int64, text string) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		return errors.Join(savePairVault(tx, revision), tx.Documents().SetAccessPolicy("v", &moraine.VaultPolicy{Text: text}))
	}
}

// TestCommitOfManyRowsFails fails the commit of each step: all of its rows are
// the old ones or all are the new ones, also after reopening.
func TestCommitOfManyRowsFails(t *testing.T) {
	t.Parallel()
	for _, step := range steps {
		for name, persist := range map[string]bool{"and lost": false, "but persisted": true} {
			t.Run(step.name+" "+name, func(t *testing.T) {
				t.Parallel()
				path := rowsPath(t)
				s := openFor(t, path)
				if err := s.Update(t.Context(), step.before); err != nil {
					t.Fatal(err)
				}
				sqlmeta.FailCommits(s, 1, persist)
				err := s.Update(t.Context(), step.change)
				if !moraine.IsKind(err, moraine.Unavailable) || !errors.Is(err, sqlmeta.ErrCommit) {
					t.Errorf("commit that failed: %v", err)
				}
				want := step.from
				if persist {
					want = step.to
				}
				wantState(t, s, step.state, want)
				s = whole(t, s, path)
				wantState(t, s, step.state, want)
			})
		}
	}
}

func wantState(t *testing.T, s *sqlmeta.Store, state func(tx meta.Tx) (string, error), want string) {
	t.Helper()
	var got string
	err := s.View(t.Context(), func(tx meta.Tx) (err error) {
		got, err = state(tx)
		return err
	})
	if got != want || err != nil {
		t.Errorf("rows are %q, %v; want %q", got, err, want)
	}
}
