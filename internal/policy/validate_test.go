package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/policy"
)

// check parses and validates a text.
func check(text string, target policy.Target) ([]policy.Warning, error) {
	d, err := policy.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return policy.Validate(d, target)
}

const anyAction = `"Effect":"Allow","Action":"glacier:*"`

// TestIdentityErrors has a row for every sentence of access-control §3.6, with
// the ways to earn it.
func TestIdentityErrors(t *testing.T) {
	t.Parallel()
	const (
		syntax    = "Syntax errors in policy."
		version   = "Policy document must be version 2012-10-17 or greater."
		sid       = "Statement IDs (SID) in a single policy must be unique."
		noVendor  = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
		colons    = "Actions/Condition can contain only one colon."
		noAction  = "Policy statement must contain actions."
		noTarget  = "Policy statement must contain resources."
		principal = "Policy document should not specify a principal."
		legacy    = "The policy failed legacy parsing"
	)
	in := func(members string) string { return `{"Version":"2012-10-17","Statement":[{` + members + `}]}` }
	good := anyAction + `,"Resource":"*"`
	when := func(condition string) string { return in(good + `,"Condition":` + condition) }
	tests := []struct{ name, text, pointer, message string }{
		{"empty", "", "", syntax},
		{"white space", " \n", "", syntax},
		{"not JSON", "{", "", syntax},
		{"trailing data", in(good) + "{}", "", syntax},
		{"trailing comma", `{"Statement":[],}`, "", syntax},
		{"byte order mark", "\ufeff" + in(good), "", syntax},
		{"not UTF-8", "{\"Id\":\"\xff\"}", "", syntax},
		{"half a surrogate pair", in(`"Sid":"\ud800",` + good), "/Statement/0/Sid", syntax},
		{"not an object", "[]", "", syntax},
		{"null", "null", "", syntax},
		{"too deep", strings.Repeat(`{"a":`, 11) + "1" + strings.Repeat("}", 11), "/a/a/a/a/a/a/a/a/a/a", syntax},
		{"wrapped twice", `{"Policy":` + in(good) + `}`, "/Policy", syntax},
		{"unknown key", in(good + `,"Comment":"x"`), "/Statement/0/Comment", syntax},
		{"case of a key", in(`"effect":"Allow","Action":"glacier:*","Resource":"*"`), "/Statement/0/effect", syntax},
		{"duplicate key", in(`"Effect":"Deny",` + good), "/Statement/0/Effect", syntax},
		{"duplicate key, escaped", in(`"\u0045ffect":"Deny",` + good), "/Statement/0/Effect", syntax},
		{"no Statement", `{"Version":"2012-10-17"}`, "/Statement", syntax},
		{"Statement of wrong type", `{"Statement":"x"}`, "/Statement", syntax},
		{"statement of wrong type", `{"Statement":[1]}`, "/Statement/0", syntax},
		{"Version of wrong type", `{"Version":2012,"Statement":[]}`, "/Version", syntax},
		{"Version unknown", `{"Version":"2012-10-18","Statement":[]}`, "/Version", version},
		{"Id", `{"Id":"x","Statement":[]}`, "/Id", syntax},
		{"Sid of wrong type", in(`"Sid":1,` + good), "/Statement/0/Sid", syntax},
		{"Sid repeated", `{"Statement":[{"Sid":"a",` + good + `},{"Sid":"a",` + good + `}]}`, "/Statement/1/Sid", sid},
		{"Sid with a hyphen", in(`"Sid":"a-b",` + good), "/Statement/0/Sid", legacy},
		{"no Effect", in(`"Action":"glacier:*","Resource":"*"`), "/Statement/0/Effect", syntax},
		{"Effect in lower case", in(`"Effect":"allow","Action":"glacier:*","Resource":"*"`), "/Statement/0/Effect", syntax},
		{"no Action", in(`"Effect":"Allow","Resource":"*"`), "/Statement/0/Action", noAction},
		{"Action empty", in(`"Effect":"Allow","Action":[],"Resource":"*"`), "/Statement/0/Action", noAction},
		{"Action of wrong type", in(`"Effect":"Allow","Action":[null],"Resource":"*"`), "/Statement/0/Action/0", syntax},
		{"Action and NotAction", in(good + `,"NotAction":"s3:*"`), "/Statement/0/NotAction", syntax},
		{"action without a colon", in(`"Effect":"Allow","Action":"DescribeVault","Resource":"*"`), "/Statement/0/Action", noVendor},
		{"the second action", in(`"Effect":"Allow","NotAction":["glacier:*","x"],"Resource":"*"`), "/Statement/0/NotAction/1", noVendor},
		{"action with two colons", in(`"Effect":"Allow","Action":"glacier:a:b","Resource":"*"`), "/Statement/0/Action", colons},
		{"wildcard in the vendor", in(`"Effect":"Allow","Action":"gl*:DescribeVault","Resource":"*"`), "/Statement/0/Action", "Vendor gl* is not valid"},
		{"no vendor", in(`"Effect":"Allow","Action":":DescribeVault","Resource":"*"`), "/Statement/0/Action", "Vendor  is not valid"},
		{"no name of an action", in(`"Effect":"Allow","Action":"glacier:","Resource":"*"`), "/Statement/0/Action", legacy},
		{"variable in an action", in(`"Effect":"Allow","Action":"glacier:${x}","Resource":"*"`), "/Statement/0/Action", legacy},
		{"no Resource", in(anyAction), "/Statement/0/Resource", noTarget},
		{"Resource empty", in(anyAction + `,"Resource":[]`), "/Statement/0/Resource", noTarget},
		{"Resource and NotResource", in(good + `,"NotResource":"*"`), "/Statement/0/NotResource", syntax},
		{"resource no ARN", in(anyAction + `,"Resource":"vaults/v1"`), "/Statement/0/Resource", `Resource vaults/v1 must be in ARN format or "*".`},
		{"resource of five parts", in(anyAction + `,"Resource":"arn:aws:glacier:*:*"`), "/Statement/0/Resource", `Resource arn:aws:glacier:*:* must be in ARN format or "*".`},
		{"partition", in(anyAction + `,"Resource":"arn:moon:glacier:::x"`), "/Statement/0/Resource", `Partition "moon" is not valid for resource "arn:moon:glacier:::x".`},
		{"early variable", in(anyAction + `,"Resource":"arn:aws:glacier:us-east-1:${aws:PrincipalAccount}:x"`), "/Statement/0/Resource", legacy},
		{"malformed variable", in(anyAction + `,"Resource":"arn:aws:glacier:::${aws:username"`), "/Statement/0/Resource", legacy},
		{"Principal", in(good + `,"Principal":"*"`), "/Statement/0/Principal", principal},
		{"NotPrincipal", in(`"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":"111111111111"}`), "/Statement/0/NotPrincipal", principal},
		{"Condition of wrong type", when(`[]`), "/Statement/0/Condition", syntax},
		{"unknown operator", when(`{"StringIs":{"aws:username":"x"}}`), "/Statement/0/Condition/StringIs", syntax},
		{"operator without a name", when(`{"IfExists":{"aws:username":"x"}}`), "/Statement/0/Condition/IfExists", syntax},
		{"NullIfExists", when(`{"NullIfExists":{"aws:username":"true"}}`), "/Statement/0/Condition/NullIfExists", syntax},
		{"ForAllValues:Null", when(`{"ForAllValues:Null":{"aws:username":"true"}}`), "/Statement/0/Condition/ForAllValues:Null", syntax},
		{"operator twice", when(`{"Bool":{},"bool":{}}`), "/Statement/0/Condition/bool", syntax},
		{"keys of wrong type", when(`{"Bool":"x"}`), "/Statement/0/Condition/Bool", syntax},
		{"key twice", when(`{"Bool":{"aws:ViaAWSService":"true","aws:viaawsservice":"true"}}`), "/Statement/0/Condition/Bool/aws:viaawsservice", syntax},
		{"value of wrong type", when(`{"Bool":{"aws:ViaAWSService":[{}]}}`), "/Statement/0/Condition/Bool/aws:ViaAWSService/0", syntax},
		{"no number", when(`{"NumericEquals":{"aws:MultiFactorAuthAge":[1,"x"]}}`), "/Statement/0/Condition/NumericEquals/aws:MultiFactorAuthAge/1", legacy},
		{"variable for a number", when(`{"NumericEquals":{"aws:MultiFactorAuthAge":"${aws:EpochTime}"}}`), "/Statement/0/Condition/NumericEquals/aws:MultiFactorAuthAge", legacy},
		{"no date", when(`{"DateEquals":{"aws:CurrentTime":"today"}}`), "/Statement/0/Condition/DateEquals/aws:CurrentTime", legacy},
		{"no boolean", when(`{"Bool":{"aws:ViaAWSService":"yes"}}`), "/Statement/0/Condition/Bool/aws:ViaAWSService", legacy},
		{"no boolean for Null", when(`{"Null":{"aws:ViaAWSService":"yes"}}`), "/Statement/0/Condition/Null/aws:ViaAWSService", legacy},
		{"no base64", when(`{"BinaryEquals":{"x:y":"!"}}`), "/Statement/0/Condition/BinaryEquals/x:y", legacy},
		{"no address", when(`{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}`), "/Statement/0/Condition/IpAddress/aws:SourceIp", legacy},
		{"no ARN", when(`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam:*:root"}}`), "/Statement/0/Condition/ArnLike/aws:PrincipalArn", legacy},
		{"malformed variable in a value", when(`{"StringLike":{"aws:username":"${"}}`), "/Statement/0/Condition/StringLike/aws:username", legacy},
		{"condition key without a colon", when(`{"Bool":{"secure":"true"}}`), "/Statement/0/Condition/Bool/secure", noVendor},
		{"condition key with two colons", when(`{"Bool":{"aws:a:b":"true"}}`), "/Statement/0/Condition/Bool/aws:a:b", colons},
		{"pointer is escaped", when(`{"Bool":{"a/b~c":"x"}}`), "/Statement/0/Condition/Bool/a~1b~0c", legacy},
		{"single statement", `{"Statement":{` + anyAction + `}}`, "/Statement/Resource", noTarget},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := check(tt.text, policy.Target{Kind: policy.IdentityPolicy})
			var e *policy.Error
			if !errors.As(err, &e) {
				t.Fatalf("%s: error %v", tt.text, err)
			}
			got := []string{e.Pointer, e.Message(policy.IdentityPolicy), e.Code()}
			if diff := cmp.Diff([]string{tt.pointer, tt.message, policy.CodeMalformed}, got); diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", tt.text, err, diff)
			}
		})
	}
}

// TestQuotas covers the sizes of access-control §2.1 and §3.6, each at its
// limit and one above.
func TestQuotas(t *testing.T) {
	t.Parallel()
	// padded is a policy of n characters that are not white space, and some
	// white space.
	padded := func(format string, n int) string {
		text := fmt.Sprintf(format, "")
		text = fmt.Sprintf(format, strings.Repeat("x", n-len(text)+strings.Count(text, " ")))
		return text + "\n\t\r "
	}
	id := `{"Statement":[{"Sid":"%s","Effect":"Allow","Action":"glacier:*","Resource":"*"}]}`
	trust := `{"Statement":[{"Sid":"%s","Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"111111111111"}}]}`
	tests := []struct {
		name, format string
		target       policy.Target
		sizeMax      int
		message      string
	}{
		{"managed", id, policy.Target{}, 6144, "Maximum policy size of 6144 bytes exceeded"},
		{"inline", id, policy.Target{SizeMax: 2048, Owner: "user bob"}, 2048, "Maximum policy size of 2048 bytes exceeded for user bob"},
		{"inline, shared", id, policy.Target{SizeMax: 2048, SizeUsed: 1000, Owner: "user bob"}, 1048, "Maximum policy size of 2048 bytes exceeded for user bob"},
		{"boundary", id, policy.Target{Kind: policy.BoundaryPolicy}, 6144, "Maximum policy size of 6144 bytes exceeded"},
		{"session", id, policy.Target{Kind: policy.SessionPolicy}, 2048, "Maximum policy size of 2048 bytes exceeded"},
		{"trust", trust, policy.Target{Kind: policy.TrustPolicy}, 2048, "Maximum policy size of 2048 bytes exceeded"},
	}
	for _, tt := range tests {
		if _, err := check(padded(tt.format, tt.sizeMax), tt.target); err != nil {
			t.Errorf("%s: at the limit: %v", tt.name, err)
		}
		_, err := check(padded(tt.format, tt.sizeMax+1), tt.target)
		var e *policy.Error
		if !errors.As(err, &e) || e.Code() != policy.CodeLimit || e.Message(tt.target.Kind) != tt.message {
			t.Errorf("%s: above the limit: %v, want %q", tt.name, err, tt.message)
		}
	}
	if d := parse(t, padded(id, 500)); d.Size() != 500 {
		t.Errorf("size %d, want 500", d.Size())
	}
	_, err := policy.Parse([]byte(document() + strings.Repeat(" ", 131072)))
	var e *policy.Error
	if !errors.As(err, &e) || e.Problem != policy.ProblemTooLong {
		t.Errorf("a text without end: %v", err)
	}
	_, err = check(document(`{"Sid":"日",`+anyAction+`,"Resource":"*"}`), policy.Target{})
	if !errors.As(err, &e) || e.Code() != policy.CodeValidation || !strings.Contains(e.Message(policy.IdentityPolicy), "policyDocument") {
		t.Errorf("characters: %v", err)
	}
}

// TestVaultErrors has a row for every check of vault policies in
// access-control §3.6.
func TestVaultErrors(t *testing.T) {
	t.Parallel()
	in := func(members string) string { return `{"Version":"2012-10-17","Statement":[{` + members + `}]}` }
	whom := `"Effect":"Deny","Principal":"*",`
	about := `,"Resource":"` + v1 + `"`
	action := func(a string) string { return in(whom + `"Action":"` + a + `"` + about) }
	when := func(c string) string { return in(whom + `"Action":"glacier:*"` + about + `,"Condition":` + c) }
	named := func(p string) string { return in(`"Effect":"Deny",` + p + `,"Action":"glacier:*"` + about) }
	long := func(n int) string {
		text := in(`"Sid":"x",` + whom + `"Action":"glacier:*"` + about)
		return text + strings.Repeat(" ", n-len(text))
	}
	const (
		principal = "/Statement/0/Principal"
		aws       = "/Statement/0/Principal/AWS"
		only      = "/Statement/0/Action: an action for identity policies only"
	)
	tests := []struct{ name, text, where string }{
		{"text too long", long(20481), "longer than 20480 bytes"},
		{"text at the limit", long(20480), ""},
		{"empty string", "", "not JSON"},
		{"wrapped twice", `{"Policy":"{}"}`, "/Policy: unknown key"},
		{"empty Statement", document(), "/Statement: empty"},
		{"no principal", in(`"Effect":"Deny","Action":"glacier:*"` + about), principal + ": missing"},
		{"no resource", in(whom + `"Action":"glacier:*"`), "/Statement/0/Resource: missing"},
		{"another vendor", action("s3:GetObject"), "/Statement/0/Action: an action of another vendor"},
		{"unknown name", action("glacier:DeleteArchives"), "/Statement/0/Action: no such Glacier action"},
		{"pattern without a match", action("glacier:Remove*Vaults"), "/Statement/0/Action: no such Glacier action"},
		{"CreateVault", action("glacier:CreateVault"), only},
		{"ListVaults, other case", action("glacier:listvaults"), only},
		{"GetDataRetrievalPolicy", action("glacier:GetDataRetrievalPolicy"), only},
		{"SetDataRetrievalPolicy", action("glacier:SetDataRetrievalPolicy"), only},
		{"ListProvisionedCapacity", action("glacier:ListProvisionedCapacity"), only},
		{"PurchaseProvisionedCapacity", action("glacier:PurchaseProvisionedCapacity"), only},
		{"wildcard over identity actions", action("glacier:ListVault?"), ""},
		{"any action", action("*"), ""},
		{"unknown operator", when(`{"StringIs":{"aws:username":"x"}}`), "/Statement/0/Condition/StringIs: unknown operator"},
		{"unknown glacier key", when(`{"Bool":{"glacier:Locked":"true"}}`), "/Statement/0/Condition/Bool/glacier:Locked: unknown condition key"},
		{"tag key without a name", when(`{"Bool":{"glacier:ResourceTag/":"true"}}`), "/Statement/0/Condition/Bool/glacier:ResourceTag~1: unknown condition key"},
		{"literal of wrong type", when(`{"NumericLessThan":{"glacier:ArchiveAgeInDays":"a year"}}`), "/Statement/0/Condition/NumericLessThan/glacier:ArchiveAgeInDays: not a decimal number"},
		{"glacier key, other case", when(`{"NumericLessThan":{"glacier:ArchiveAgeinDays":365}}`), ""},
		{"unknown aws key", when(`{"StringEquals":{"aws:SourceVpc":"vpc-1"}}`), ""},
		{"NotPrincipal with Allow", in(`"Effect":"Allow","NotPrincipal":{"AWS":"111111111111"},"Action":"glacier:*"` + about), "/Statement/0/NotPrincipal: not allowed with Allow"},
		{"everyone in NotPrincipal", named(`"NotPrincipal":{"AWS":["*"]}`), "/Statement/0/NotPrincipal/AWS/0: * is not allowed in NotPrincipal"},
		{"everyone as NotPrincipal", named(`"NotPrincipal":"*"`), "/Statement/0/NotPrincipal: * is not allowed in NotPrincipal"},
		{"Principal and NotPrincipal", named(`"NotPrincipal":{"AWS":"111111111111"},"Principal":"*"`), principal + ": only one of Principal and NotPrincipal is allowed"},
		{"Principal a bare ARN", named(`"Principal":` + bobARN), principal + `: neither "*" nor an object with entries`},
		{"Principal empty", named(`"Principal":{}`), principal + `: neither "*" nor an object with entries`},
		{"Principal without entries", named(`"Principal":{"AWS":[]}`), aws + ": empty"},
		{"unknown provider", named(`"Principal":{"aws":"*"}`), principal + "/aws: unknown key"},
		{"Service", named(`"Principal":{"Service":"glacier.amazonaws.com"}`), principal + `/Service: invalid principal "glacier.amazonaws.com"`},
		{"Federated", named(`"Principal":{"Federated":"*"}`), principal + `/Federated: invalid principal "*"`},
		{"CanonicalUser", named(`"Principal":{"CanonicalUser":"x"}`), principal + `/CanonicalUser: invalid principal "x"`},
		{"group", named(`"Principal":{"AWS":["111111111111","arn:aws:iam::111111111111:group/g"]}`), aws + `/1: invalid principal "arn:aws:iam::111111111111:group/g"`},
		{"partial wildcard", named(`"Principal":{"AWS":"arn:aws:iam::111111111111:user/*"}`), aws + `: invalid principal "arn:aws:iam::111111111111:user/*"`},
		{"account with hyphens", named(`"Principal":{"AWS":"1111-1111-1111"}`), aws + `: invalid principal "1111-1111-1111"`},
		{"user without a name", named(`"Principal":{"AWS":"arn:aws:iam::111111111111:user/"}`), aws + `: invalid principal "arn:aws:iam::111111111111:user/"`},
		{"session without a name", named(`"Principal":{"AWS":"arn:aws:sts::111111111111:assumed-role/ops"}`), aws + `: invalid principal "arn:aws:sts::111111111111:assumed-role/ops"`},
		{"short unique id", named(`"Principal":{"AWS":"AIDA1"}`), aws + `: invalid principal "AIDA1"`},
		{"everyone as AWS", named(`"Principal":{"AWS":["*"]}`), ""},
		{"free Sid", in(`"Sid":"keep one-year!",` + whom + `"Action":"glacier:*"` + about), ""},
		{"Sid of 257", in(`"Sid":"` + strings.Repeat("x", 257) + `",` + whom + `"Action":"glacier:*"` + about), "/Statement/0/Sid: longer than 256"},
		{"Sid not ASCII", in(`"Sid":"é",` + whom + `"Action":"glacier:*"` + about), "/Statement/0/Sid: not printable ASCII"},
		{"Id", `{"Id":"x",` + strings.TrimPrefix(action("glacier:*"), "{"), ""},
		{"Allow", in(`"Effect":"Allow","Principal":"*","Action":"glacier:*"` + about), ""},
	}
	for _, tt := range tests {
		for kind, word := range map[policy.Kind]string{policy.AccessPolicy: "access", policy.LockPolicy: "lock"} {
			t.Run(word+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				_, err := check(tt.text, policy.Target{Kind: kind, Vault: v1})
				got, want := "", ""
				if tt.where != "" {
					want = "The specified vault " + word + " policy is invalid. Provide a valid policy. (" + tt.where + ")"
				}
				if e := (*policy.Error)(nil); errors.As(err, &e) {
					got = e.Message(kind)
				}
				if got != want {
					t.Errorf("%.300s\ngot  %s\nwant %s", tt.text, got, want)
				}
			})
		}
	}
}

// TestStrayResources covers resources that cannot match the vault.
func TestStrayResources(t *testing.T) {
	t.Parallel()
	about := func(resource string) string {
		return `{"Effect":"Deny","Principal":"*","Action":"glacier:*",` + member("Resource", resource) + `}`
	}
	tests := []struct {
		name         string
		resources    []string
		lock, access bool // accepted
		warnings     int
	}{
		{"the vault", []string{v1}, true, true, 0},
		{"everything", []string{"*"}, true, true, 0},
		{"pattern", []string{"arn:aws:glacier:*:111111111111:vaults/v?"}, true, true, 0},
		{"another vault", []string{vaults + "v2"}, false, false, 0},
		{"another account", []string{"arn:aws:glacier:us-east-1:222222222222:vaults/v1"}, false, false, 0},
		{"one of two", []string{v1, vaults + "v2"}, false, true, 1},
		{"one in a list", []string{vaults + "v2 " + v1}, true, true, 0},
		{"variable that may fit", []string{vaults + "v${aws:PrincipalTag/n}"}, true, true, 0},
		{"variable that cannot", []string{vaults + "x${aws:PrincipalTag/n}"}, false, false, 0},
		{"all but the vault", []string{"!" + v1}, false, false, 0},
		{"all but another", []string{"!" + vaults + "v2"}, true, true, 0},
		{"all but a variable", []string{"!" + vaults + "${aws:username}"}, true, true, 0},
	}
	for _, tt := range tests {
		statements := make([]string, len(tt.resources))
		for i := range statements {
			statements[i] = about(tt.resources[i])
		}
		text := document(statements...)
		if _, err := check(text, policy.Target{Kind: policy.LockPolicy, Vault: v1}); (err == nil) != tt.lock {
			t.Errorf("%s: lock policy: %v", tt.name, err)
		}
		warnings, err := check(text, policy.Target{Kind: policy.AccessPolicy, Vault: v1})
		if (err == nil) != tt.access || len(warnings) != tt.warnings {
			t.Errorf("%s: access policy: %v, warnings %v", tt.name, err, warnings)
		}
	}
}

// TestWarnings covers keys that no request has.
func TestWarnings(t *testing.T) {
	t.Parallel()
	text := document(statement("Deny", anybody, "glacier:*", v1,
		`"StringEquals":{"aws:SourceVpc":"x","aws:PRINCIPALTAG/team":"x","s3:prefix":"x","aws:userid":"x"}`))
	got, err := check(text, policy.Target{Kind: policy.LockPolicy, Vault: v1})
	want := []policy.Warning{
		{Pointer: "/Statement/0/Condition/StringEquals/aws:SourceVpc", Reason: `no request has the key "aws:SourceVpc"`},
		{Pointer: "/Statement/0/Condition/StringEquals/s3:prefix", Reason: `no request has the key "s3:prefix"`},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

// TestKinds covers the elements that only some kinds have.
func TestKinds(t *testing.T) {
	t.Parallel()
	own := document(`{` + anyAction + `,"Resource":"*"}`)
	trust := document(`{"Effect":"Allow","Principal":{"AWS":"111111111111","Service":"x.amazonaws.com"},"Action":"sts:AssumeRole"}`)
	withResource := document(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}`)
	tests := []struct {
		name string
		text string
		kind policy.Kind
		want string
	}{
		{"identity", own, policy.IdentityPolicy, ""},
		{"session", own, policy.SessionPolicy, ""},
		{"boundary", own, policy.BoundaryPolicy, ""},
		{"no statements", document(), policy.IdentityPolicy, ""},
		{"trust", trust, policy.TrustPolicy, ""},
		{"trust with a resource", withResource, policy.TrustPolicy, "The policy failed legacy parsing"},
		{"trust without a principal", own, policy.TrustPolicy, "The policy failed legacy parsing"},
		{"session with a principal", withResource, policy.SessionPolicy, "Policy document should not specify a principal."},
		{"boundary with a principal", withResource, policy.BoundaryPolicy, "Policy document should not specify a principal."},
		{"invalid principal", document(`{"Effect":"Allow","Principal":{"AWS":"bob"},"Action":"sts:AssumeRole"}`), policy.TrustPolicy, `Invalid principal in policy: "AWS":"bob"`},
	}
	for _, tt := range tests {
		_, err := check(tt.text, policy.Target{Kind: tt.kind})
		got := ""
		if e := (*policy.Error)(nil); errors.As(err, &e) {
			got = e.Message(tt.kind)
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
