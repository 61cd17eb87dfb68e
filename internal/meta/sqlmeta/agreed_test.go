package sqlmeta_test

import (
	"errors"
	"sync"
	"testing"

	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
)

// TestAgree has two stores on one database settle the same thing at the same
// time: both go by what one of them said, which the next one is told.
func TestAgree(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	stores := []*sqlmeta.Store{openAt(t, sqlmeta.Config{URL: url}), openAt(t, sqlmeta.Config{URL: url})}
	names := []string{"first", "second"}
	for round := range 8 {
		name := string(rune('a' + round))
		got := make([]string, len(stores))
		var both sync.WaitGroup
		for i, s := range stores {
			both.Go(func() {
				err := s.Agree(t.Context(), name, func(_ meta.Tx, holds string) (string, error) {
					if holds == "" {
						holds = names[i]
					}
					got[i] = holds
					return holds, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if got[0] == "" || got[0] != got[1] {
			t.Fatalf("%s: one goes by %q, the other by %q", name, got[0], got[1])
		}
		refused := errors.New("not with me")
		err := stores[0].Agree(t.Context(), name, func(_ meta.Tx, holds string) (string, error) {
			if holds != got[0] {
				t.Errorf("%s: %q holds, want %q", name, holds, got[0])
			}
			return "another", refused
		})
		if !errors.Is(err, refused) {
			t.Errorf("%s: refused with %v", name, err)
		}
		if err := stores[1].Agree(t.Context(), name, func(_ meta.Tx, holds string) (string, error) {
			if holds != got[0] {
				t.Errorf("%s: after a refusal %q holds, want %q", name, holds, got[0])
			}
			return "changed", nil
		}); err != nil {
			t.Error(err)
		}
	}
}
