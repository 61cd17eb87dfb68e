package policy_test

import (
	"encoding/json"
	"testing"

	"moraine/internal/policy"
)

// TestPrint checks the canonical form.
func TestPrint(t *testing.T) {
	t.Parallel()
	text := `{"Id":"x","Statement":{"Resource":"*","NotAction":"s3:*","Effect":"Deny","Sid":"a b",
		"NotPrincipal":{"AWS":"111111111111"},
		"Condition":{"forallvalues:stringequalsifexists":{"aws:TAGKEYS":[1,true,"x"]},"Null":{"aws:username":true}}}}`
	want := `{"Version":"2008-10-17","Id":"x","Statement":[{"Sid":"a b","Effect":"Deny",` +
		`"NotPrincipal":{"AWS":["111111111111"]},"NotAction":["s3:*"],"Resource":["*"],` +
		`"Condition":{"ForAllValues:StringEqualsIfExists":{"aws:TAGKEYS":["1","true","x"]},"Null":{"aws:username":["true"]}}}]}`
	got, err := json.Marshal(parse(t, text))
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

// FuzzParse parses, prints, parses again and compares. Whatever we accept,
// encoding/json must accept too, and the two documents must decide alike.
func FuzzParse(f *testing.F) {
	for _, text := range vaultPolicies() {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"Statement":{"Effect":"Allow","Action":"glacier:*","Resource":"arn:aws:glacier:::vaults/${aws:username, 'x'}"}}`))
	f.Add([]byte(document(`{"Effect":"Allow","Action":["*","s3:?et"],"NotResource":["a${*}b"],"Condition":{"DateLessThan":{"aws:CurrentTime":2024},"NotIpAddressIfExists":{"aws:SourceIp":["::1/128"]}}}`)))
	f.Add([]byte(document(`{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}`)))
	f.Add([]byte("{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"\\ud83d\\ude00\"}],\"Id\":\"\\u2028<>&\"}"))
	alice := request(user(accountA, "alice"), "DescribeVault", v1, nil)
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := policy.Parse(text)
		if err != nil {
			return
		}
		var other any
		if err := json.Unmarshal(text, &other); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", text, err)
		}
		printed, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("Marshal(%q): %v", text, err)
		}
		again, err := policy.Parse(printed)
		if err != nil {
			if len(printed) > len(text) && len(printed) > 1<<16 {
				return // grown over the limit
			}
			t.Fatalf("Parse(%s), printed from %q: %v", printed, text, err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(printed) {
			t.Fatalf("%q prints\n%s, then\n%s", text, printed, twice)
		}
		for kind := policy.IdentityPolicy; kind <= policy.TrustPolicy; kind++ {
			// Nothing but absence of panics is asked of Validate here: sizes differ.
			_, _ = policy.Validate(d, policy.Target{Kind: kind, Vault: v1})
		}
		if got, want := decide(again, alice), decide(d, alice); got != want {
			t.Fatalf("%q decides %s, printed %s decides %s", text, want, printed, got)
		}
	})
}

func decide(d *policy.Document, r *policy.Request) string {
	p := &policy.Policy{Document: d}
	return outcome(policy.Evaluate(r, &policy.Policies{Identity: []policy.Policy{*p}})) + ", " +
		outcome(policy.Evaluate(r, &policy.Policies{Access: p}))
}

// TestNoText checks that a document does not keep the text it was parsed from.
func TestNoText(t *testing.T) {
	t.Parallel()
	text := []byte(vaultPolicies()["W3"])
	d := parse(t, string(text))
	before, _ := json.Marshal(d)
	e, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	if after, _ := json.Marshal(e); string(after) != string(before) {
		t.Errorf("the document changed with its text:\n%s\n%s", before, after)
	}
}
