package access_test

import (
	"strconv"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	now := noon
	throttle := access.NewThrottle(2, 3, func() time.Time { return now })
	alice, bob := &access.Principal{ARN: "alice"}, &access.Principal{ARN: "bob"}
	admitted := func(p *access.Principal) (n int) {
		for range 10 {
			if err := throttle.Admit(p); err == nil {
				n++
			} else if !moraine.IsKind(err, moraine.Throttled) || err.Error() != "Rate exceeded" {
				t.Fatalf("refused with %v", err)
			}
		}
		return n
	}
	if a, b := admitted(alice), admitted(bob); a != 3 || b != 3 {
		t.Errorf("bursts of %d and %d, want 3 and 3", a, b)
	}
	now = now.Add(time.Second)
	if n := admitted(alice); n != 2 {
		t.Errorf("%d a second, want 2", n)
	}
	for i := range 20_000 { // memory is bounded: bob is forgotten
		_ = throttle.Admit(&access.Principal{ARN: strconv.Itoa(i)})
	}
	if n := admitted(bob); n != 3 {
		t.Errorf("after being forgotten %d, want a burst of 3", n)
	}
	none := (*access.Throttle)(nil)
	if err := none.Admit(alice); err != nil || !none.Spend("alice") || !none.Left("alice") {
		t.Errorf("without a limit: %v", err)
	}
}

func TestThrottleLeft(t *testing.T) {
	t.Parallel()
	now := noon
	throttle := access.NewThrottle(1, 2, func() time.Time { return now })
	for range 10 {
		if !throttle.Left("alice") {
			t.Fatal("to ask costs something")
		}
	}
	throttle.Spend("alice")
	throttle.Spend("alice")
	if throttle.Left("alice") || throttle.Spend("alice") || !throttle.Left("bob") {
		t.Error("not all is spent, or another's")
	}
	now = now.Add(time.Second)
	if !throttle.Left("alice") || !throttle.Spend("alice") || throttle.Left("alice") {
		t.Error("after a second there is not one left")
	}
}
