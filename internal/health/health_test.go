package health_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/health"
)

// texts shows answers as name and error.
func texts(answers []health.Answer) map[string]string {
	all := make(map[string]string)
	for _, a := range answers {
		all[a.Name] = "yes"
		if a.Err != nil {
			all[a.Name] = a.Err.Error()
		}
	}
	return all
}

func TestAnswersAreKeptWhileFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		p := health.New(health.Config{Questions: []health.Question{{Name: "rows", Ask: func(context.Context) error {
			if asked.Add(1) > 1 {
				return errors.New("gone")
			}
			return nil
		}}}})
		defer p.Close()
		for _, tc := range []struct {
			wait time.Duration
			want string
			n    int64
		}{
			{0, "yes", 1},
			{999 * time.Millisecond, "yes", 1},
			{time.Millisecond, "gone", 2},
			{0, "gone", 2},
		} {
			<-time.After(tc.wait)
			got := texts(p.Ask(t.Context()))
			if diff := cmp.Diff(map[string]string{"rows": tc.want}, got); diff != "" || asked.Load() != tc.n {
				t.Errorf("after %s: asked %d times, want %d; answers (-want +got):\n%s", tc.wait, asked.Load(), tc.n, diff)
			}
		}
	})
}

func TestAHangingQuestionIsANo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, asked := make(chan struct{}), new(atomic.Int64)
		p := health.New(health.Config{Questions: []health.Question{
			{Name: "disk", Ask: func(context.Context) error { asked.Add(1); <-release; return nil }}, // deaf to its context
			{Name: "rows", Ask: func(context.Context) error { return nil }},
		}})
		for range 3 {
			began := time.Now()
			want := map[string]string{"disk": "no answer within 2s", "rows": "yes"}
			if diff := cmp.Diff(want, texts(p.Ask(t.Context()))); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if took := time.Since(began); took != 2*time.Second {
				t.Errorf("it took %s, want 2s", took)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times although the first answer was not there", n)
		}
		close(release)
		p.Close()
		if diff := cmp.Diff(map[string]string{"disk": "yes", "rows": "yes"}, texts(p.Ask(t.Context()))); diff != "" {
			t.Errorf("when it answered (-want +got):\n%s", diff)
		}
	})
}

func TestOneWhoLeavesEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := health.New(health.Config{Questions: []health.Question{{Name: "rows", Ask: func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
				return nil
			}
		}}}})
		defer p.Close()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan map[string]string)
		go func() { left <- texts(p.Ask(ctx)) }()
		synctest.Wait()
		leave()
		if diff := cmp.Diff(map[string]string{"rows": "context canceled"}, <-left); diff != "" {
			t.Errorf("who left (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]string{"rows": "yes"}, texts(p.Ask(t.Context()))); diff != "" {
			t.Errorf("who stayed (-want +got):\n%s", diff)
		}
	})
}
