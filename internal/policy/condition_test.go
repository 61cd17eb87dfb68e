package policy_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"moraine/internal/policy"
)

const testKey = "test:Key"

// holds evaluates one condition on test:Key, whose value in the request is the
// JSON of a string or a list, or "absent". The caller is the user bob.
func holds(t *testing.T, operator, requested, value string) bool {
	t.Helper()
	d := parse(t, document(fmt.Sprintf(
		`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{%q:{%q:%s}}}`, operator, testKey, value)))
	r := request(user(accountA, "bob"), "DescribeVault", v1, nil)
	addJSON(t, r, requested)
	p := &policy.Policies{Identity: []policy.Policy{{Document: d}}}
	return policy.Evaluate(r, p).Allowed
}

func addJSON(t *testing.T, r *policy.Request, text string) {
	t.Helper()
	var one string
	var many []string
	switch {
	case text == "absent":
	case json.Unmarshal([]byte(text), &one) == nil:
		r.Context.Add(testKey, one)
	case json.Unmarshal([]byte(text), &many) == nil:
		r.Context.AddSet(testKey, many)
	default:
		t.Fatalf("not a value: %s", text)
	}
}

// TestOperators runs the truth table of access-control §3.5.
func TestOperators(t *testing.T) {
	t.Parallel()
	rows := table(t, "operators.txt")
	if len(rows) != 61 {
		t.Fatalf("%d rows, want 61", len(rows))
	}
	for _, row := range rows {
		t.Run(row[0]+" "+row[1]+" "+row[2], func(t *testing.T) {
			t.Parallel()
			if got := fmt.Sprint(holds(t, row[0], row[1], row[2])); got != row[3] {
				t.Errorf("got %s, want %s", got, row[3])
			}
		})
	}
}

// TestOperatorEdges covers what the truth table leaves open.
func TestOperatorEdges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		operator, requested, value string
		want                       bool
	}{
		{"stringequals", `"a"`, `"a"`, true},
		{"STRINGEQUALSIFEXISTS", `absent`, `"a"`, true},
		{"forallvalues:stringlike", `["ab","ac"]`, `"a?"`, true},
		{"ForAllValues:StringEquals", `"a"`, `["a"]`, true},
		{"ForAnyValue:StringEqualsIfExists", `absent`, `"a"`, true},
		{"ForAllValues:StringEqualsIfExists", `["b"]`, `"a"`, false},
		{"ForAnyValue:StringNotEquals", `absent`, `"a"`, false},
		{"ForAllValues:StringNotEquals", `absent`, `"a"`, true},
		{"ForAnyValue:StringNotEquals", `["a"]`, `"a"`, false},
		{"StringNotEquals", `["a","b"]`, `"c"`, false},
		{"StringNotEqualsIfExists", `["a"]`, `"c"`, false},
		{"StringEquals", `["a"]`, `"a"`, false},
		{"Null", `["a"]`, `"false"`, true},
		{"Null", `absent`, `["false","TRUE"]`, true},
		{"Null", `absent`, `false`, false},
		{"Null", `absent`, `[]`, false},
		{"StringEquals", `"a"`, `[]`, false},
		{"StringNotEquals", `"a"`, `[]`, false},
		{"StringNotEquals", `absent`, `[]`, false},
		{"StringEqualsIfExists", `absent`, `[]`, false},
		{"ForAllValues:StringEquals", `absent`, `[]`, false},
		{"StringEquals", `"5"`, `5`, true},
		{"StringEquals", `"5.0"`, `5.0`, true},
		{"StringEqualsIgnoreCase", `"ÄB"`, `"äb"`, false},
		{"StringLike", `"é"`, `"?"`, true},
		{"StringLike", `"é"`, `"??"`, false},
		{"StringLike", `"日本"`, `"*??"`, true},
		{"StringLike", `"日本"`, `"*???"`, false},
		{"StringNotLike", `absent`, `"*"`, true},
		{"StringNotEqualsIfExists", `absent`, `"c"`, true},
		{"NumericLessThan", `"-100"`, `"-5"`, true},
		{"NumericLessThan", `"-5"`, `"-5.5"`, false},
		{"NumericLessThan", `"-5"`, `"0.1"`, true},
		{"NumericEquals", `"1e3"`, `1000`, true},
		{"NumericEquals", `"0"`, `"-0.0"`, true},
		{"NumericNotEquals", `"abc"`, `"1"`, true},
		{"NumericGreaterThan", `"9007199254740993"`, `"9007199254740992"`, true},
		{"NumericLessThan", `"0.30000000000000000000000000000000000001"`, `"0.3"`, false},
		{"DateLessThan", `"yesterday"`, `"2025-01-01"`, false},
		{"DateNotEquals", `"yesterday"`, `"2025-01-01"`, true},
		{"DateEquals", `"2024"`, `2024`, true},
		{"DateEquals", `"1704067200"`, `2024`, true},
		{"BoolIfExists", `"no"`, `"false"`, false},
		{"BinaryEquals", `"QQ="`, `"QQ=="`, false},
		{"NotIpAddress", `"nowhere"`, `"10.0.0.0/8"`, true},
		{"IpAddress", `"fe80::1%eth0"`, `"fe80::/10"`, false},
		{"IpAddress", `"10.1.2.3"`, `"::ffff:10.0.0.0/104"`, true},
		{"IpAddress", `"2001:db8::1"`, `"2001:db8::/32"`, true},
		{"ArnLike", `"arn:aws:iam::1:root"`, `"arn:aws:iam:*:*:r*"`, true},
		{"ArnLike", `"not an arn"`, `"arn:*:*:*:*:*"`, false},
		{"ArnNotLike", `"not an arn"`, `"arn:*:*:*:*:*"`, true},
		{"ArnEquals", `"arn:aws:iam::111111111111:user/bob"`, `"arn:aws:iam::111111111111:user/${aws:username}"`, true},
		{"ArnEquals", `"arn:aws:iam::111111111111:user/bob"`, `"${aws:PrincipalArn}"`, true},
		{"ArnEquals", `"arn:aws:iam::111111111111:user/eve"`, `"${aws:PrincipalArn}"`, false},
		{"ArnEquals", `"arn:aws:iam::111111111111:user/bob"`, `"arn:aws:iam::${aws:PrincipalAccount}:user/*"`, true},
		{"ArnEquals", `"*:aws:iam::1:root"`, `"*:aws:iam::1:root"`, false},
		{"Bool", `"true"`, `"${aws:nokey, 'TRUE'}"`, true},
		{"Bool", `"true"`, `"${aws:username}"`, false},
	}
	for _, tt := range tests {
		t.Run(tt.operator+" "+tt.requested+" "+tt.value, func(t *testing.T) {
			t.Parallel()
			if got := holds(t, tt.operator, tt.requested, tt.value); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

// TestDerivedKeys checks the keys that follow from principal and time, and
// that a context cannot replace them.
func TestDerivedKeys(t *testing.T) {
	t.Parallel()
	bob, ops := user(accountA, "bob"), session(accountA, "ops", "s1")
	tests := []struct {
		p         policy.Principal
		condition string
		want      bool
	}{
		{bob, `"StringEquals":{"aws:UserName":"bob","aws:userid":"` + bob.ID + `","aws:PrincipalType":"User"}`, true},
		{bob, `"StringEquals":{"aws:PrincipalAccount":"111111111111"}`, true},
		{bob, `"ArnEquals":{"aws:PrincipalArn":` + bobARN + `}`, true},
		{bob, `"DateEquals":{"aws:CurrentTime":"2024-03-15T12:00:00Z","aws:EpochTime":"1710504000"}`, true},
		{bob, `"NumericEquals":{"aws:EpochTime":1710504000}`, true},
		{ops, `"ArnEquals":{"aws:PrincipalArn":` + opsARN + `}`, true},
		{ops, `"Null":{"aws:username":"true"}`, true},
		{ops, `"StringEquals":{"aws:userid":"` + ops.ID + `","aws:PrincipalType":"AssumedRole"}`, true},
		{root(accountA), `"StringEquals":{"aws:userid":"111111111111","aws:PrincipalType":"Account"}`, true},
		{root(accountA), `"Null":{"aws:username":"true"}`, true},
		{bob, `"StringEquals":{"aws:username":"mallory"}`, false},
	}
	for _, tt := range tests {
		r := request(tt.p, "DescribeVault", v1, map[string]string{"aws:username": "mallory"})
		d := parse(t, document(statement("Deny", anybody, "*", v1, tt.condition)))
		got := policy.Evaluate(r, &policy.Policies{Access: &policy.Policy{Document: d}}).Reason == policy.ReasonAccessExplicit
		if got != tt.want {
			t.Errorf("%s: %s: got %t, want %t", tt.p.ARN, tt.condition, got, tt.want)
		}
	}
}

// TestDates checks the forms of dates (access-control §3.4).
func TestDates(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, want string }{
		{"2024", "2024-01-01T00:00:00Z"},
		{"2024-03", "2024-03-01T00:00:00Z"},
		{"2024-02-29", "2024-02-29T00:00:00Z"},
		{"2024-03-15T12:00Z", "2024-03-15T12:00:00Z"},
		{"2024-03-15T12:00:01Z", "2024-03-15T12:00:01Z"},
		{"2024-03-15T12:00:01.25Z", "2024-03-15T12:00:01.25Z"},
		{"2024-03-15T12:00:01.1234567891Z", "2024-03-15T12:00:01.123456789Z"},
		{"2024-01-01T00:30:00+01:00", "2023-12-31T23:30:00Z"},
		{"2024-12-31T23:30:00-01:30", "2025-01-01T01:00:00Z"},
		{"0", "1970-01-01T00:00:00Z"},
		{"1710504000", "2024-03-15T12:00:00Z"},
		{"", ""},
		{"2023-02-29", ""},
		{"2024-13", ""},
		{"2024-00-01", ""},
		{"2024-3-1", ""},
		{"2024T12:00Z", ""},
		{"2024-03-15T12:00", ""},
		{"2024-03-15T24:00Z", ""},
		{"2024-03-15T12:60Z", ""},
		{"2024-03-15T12:00:60Z", ""},
		{"2024-03-15T12:00:00.Z", ""},
		{"2024-03-15t12:00:00z", ""},
		{"2024-03-15 12:00:00Z", ""},
		{"2024-03-15T12:00:00+24:00", ""},
		{"2024-03-15T12:00:00+0100", ""},
		{"1234567890123", ""},
		{"-1", ""},
		{"1e9", ""},
	}
	for _, tt := range tests {
		date, ok := policy.ParseDate(tt.text)
		got := ""
		if ok {
			got = date.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
		}
		if got != tt.want {
			t.Errorf("ParseDate(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}
