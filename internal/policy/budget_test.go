package policy_test

import (
	"strings"
	"testing"

	"moraine/internal/policy"
)

// TestBudget denies a request whose policies were written to keep a server
// busy, even where they would allow it (access-control §7.1).
func TestBudget(t *testing.T) {
	t.Parallel()
	busy := "arn:aws:glacier:us-east-1:111111111111:*" + strings.Repeat("?", 5000) + "!"
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"` + busy + `"}]}`
	d, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	decide := func(resource string) policy.Decision {
		return policy.Evaluate(&policy.Request{
			Principal: policy.Principal{Type: policy.User, Account: "111111111111", ARN: "arn:aws:iam::111111111111:user/u", ID: "AIDAU"},
			Action:    "glacier:ListJobs", Resource: resource,
		}, &policy.Policies{Identity: []policy.Policy{{Name: "p", Document: d}}})
	}
	if got := decide("arn:aws:glacier:us-east-1:111111111111:vaults/v"); !got.Allowed {
		t.Errorf("an ordinary request is denied: %v", got.Reason)
	}
	got := decide("arn:aws:glacier:us-east-1:111111111111:vaults/" + strings.Repeat("v", 60_000))
	if got.Allowed || got.Reason.String() != "policy-exhausted" {
		t.Errorf("a request that costs too much: allowed %v, %v", got.Allowed, got.Reason)
	}
}
