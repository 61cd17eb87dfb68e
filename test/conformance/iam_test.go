package conformance_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"moraine/test/internal/wire"
)

const (
	iamVersion = "2010-05-08"
	stsVersion = "2011-06-15"
)

// identityRequest is one exchange with IAM or STS.
type identityRequest struct {
	service, region string // zero: iam, the server's region
	method, target  string // zero: POST /
	body            string
	stamp           time.Time // zero: now
	secret          string    // zero: the right one
	fields          []wire.Field
}

// ask sends a request of the query protocol and returns status and body.
func (q identityRequest) ask(t *testing.T) (int, string) {
	t.Helper()
	or := func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	}
	addr := servers["current"].Addr
	conn, err := wire.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := &wire.Request{Method: or(q.method, "POST"), Target: or(q.target, "/"), Body: [][]byte{[]byte(q.body)}}
	r.Set("Host", addr)
	r.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Set("Content-Length", fmt.Sprint(len(q.body)))
	for _, f := range q.fields {
		r.Set(f.Name, f.Value)
	}
	now := q.stamp
	if now.IsZero() {
		now = time.Now()
	}
	stamp := now.UTC().Format(wire.StampFormat)
	r.Set("x-amz-date", stamp)
	c := &wire.Credentials{
		KeyID: serverKeyID, Secret: or(q.secret, serverSecret), Region: or(q.region, serverRegion), Service: or(q.service, "iam"),
	}
	r.Set("Authorization", c.Make(r, wire.Signing{Stamp: stamp}).Authorization())
	resp, err := conn.Do(r, nil, replyMax)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Get("Content-Type"); got != "text/xml" {
		t.Errorf("Content-Type %q, want text/xml", got)
	}
	if !seen.add(resp.Get("x-amzn-RequestId")) || !strings.Contains(string(resp.Body), "<RequestId>"+resp.Get("x-amzn-RequestId")+"</RequestId>") {
		t.Errorf("request id %q repeats, or the body has another: %s", resp.Get("x-amzn-RequestId"), resp.Body)
	}
	return resp.Status, string(resp.Body)
}

// form joins an action, a version and pairs of parameters.
func form(version, action string, pairs ...string) string {
	v := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// masks replace what differs from run to run.
var masks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`<RequestId>[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}</RequestId>`), "<RequestId/>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "DATE"},
	{regexp.MustCompile(`\b(AIDA|AGPA|AROA|ANPA)[A-Z2-7]{17}\b`), "$1"},
	{regexp.MustCompile(`\bAKIA[A-Z2-7]{16}\b`), "AKIA"},
	{regexp.MustCompile(`<SecretAccessKey>[A-Za-z0-9+/]{40}</SecretAccessKey>`), "<SecretAccessKey/>"},
}

func masked(body string) string {
	for _, m := range masks {
		body = m.pattern.ReplaceAllString(body, m.with)
	}
	return body
}

// TestIdentityBodies compares answers byte for byte.
func TestIdentityBodies(t *testing.T) {
	t.Parallel()
	const (
		iamNS = `xmlns="https://iam.amazonaws.com/doc/2010-05-08/"`
		stsNS = `xmlns="https://sts.amazonaws.com/doc/2011-06-15/"`
		meta  = `<ResponseMetadata><RequestId/></ResponseMetadata>`
		arn   = "arn:aws:iam::" + serverAccount
	)
	errorBody := func(ns, code, message string) string {
		return `<ErrorResponse ` + ns + `><Error><Type>Sender</Type><Code>` + code + `</Code><Message>` + message + `</Message></Error><RequestId/></ErrorResponse>`
	}
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"glacier:*","Resource":"a b"}}`
	document = strings.Replace(document, "a b", "arn:aws:glacier:*:*:vaults/a b+<é>", 1)
	for _, row := range []struct {
		name string
		identityRequest
		status int
		want   string
	}{
		{"who am I", identityRequest{service: "sts", body: form(stsVersion, "GetCallerIdentity")}, 200,
			`<GetCallerIdentityResponse ` + stsNS + `><GetCallerIdentityResult><Arn>` + arn + `:root</Arn><UserId>` + serverAccount +
				`</UserId><Account>` + serverAccount + `</Account></GetCallerIdentityResult>` + meta + `</GetCallerIdentityResponse>`},
		{"who am I in a query", identityRequest{service: "sts", method: "GET", target: "/?Action=GetCallerIdentity&Version=" + stsVersion}, 200,
			`<GetCallerIdentityResponse ` + stsNS + `><GetCallerIdentityResult><Arn>` + arn + `:root</Arn><UserId>` + serverAccount +
				`</UserId><Account>` + serverAccount + `</Account></GetCallerIdentityResult>` + meta + `</GetCallerIdentityResponse>`},
		{"create a user", identityRequest{region: "us-east-1", body: form(iamVersion, "CreateUser", "UserName", "wire", "Path", "/p/", "Tags.member.1.Key", "k", "Tags.member.1.Value", "v w")}, 200,
			`<CreateUserResponse ` + iamNS + `><CreateUserResult><User><Path>/p/</Path><UserName>wire</UserName><UserId>AIDA</UserId><Arn>` + arn +
				`:user/p/wire</Arn><CreateDate>DATE</CreateDate><Tags><member><Key>k</Key><Value>v w</Value></member></Tags></User></CreateUserResult>` + meta + `</CreateUserResponse>`},
		{"create it again", identityRequest{body: form(iamVersion, "CreateUser", "UserName", "Wire")}, 409,
			errorBody(iamNS, "EntityAlreadyExists", "User with name Wire already exists.")},
		{"no policies", identityRequest{body: form(iamVersion, "ListUserPolicies", "UserName", "wire")}, 200,
			`<ListUserPoliciesResponse ` + iamNS + `><ListUserPoliciesResult><PolicyNames></PolicyNames><IsTruncated>false</IsTruncated></ListUserPoliciesResult>` + meta + `</ListUserPoliciesResponse>`},
		{"put a policy", identityRequest{body: form(iamVersion, "PutUserPolicy", "UserName", "wire", "PolicyName", "p", "PolicyDocument", document)}, 200,
			`<PutUserPolicyResponse ` + iamNS + `>` + meta + `</PutUserPolicyResponse>`},
		{"get the policy", identityRequest{body: form(iamVersion, "GetUserPolicy", "UserName", "wire", "PolicyName", "p")}, 200,
			`<GetUserPolicyResponse ` + iamNS + `><GetUserPolicyResult><UserName>wire</UserName><PolicyName>p</PolicyName><PolicyDocument>` +
				wire.Encode(document) + `</PolicyDocument></GetUserPolicyResult>` + meta + `</GetUserPolicyResponse>`},
		{"create a key", identityRequest{body: form(iamVersion, "CreateAccessKey", "UserName", "wire")}, 200,
			`<CreateAccessKeyResponse ` + iamNS + `><CreateAccessKeyResult><AccessKey><UserName>wire</UserName><AccessKeyId>AKIA</AccessKeyId><Status>Active</Status>` +
				`<SecretAccessKey/><CreateDate>DATE</CreateDate></AccessKey></CreateAccessKeyResult>` + meta + `</CreateAccessKeyResponse>`},
		{"list the key", identityRequest{body: form(iamVersion, "ListAccessKeys", "UserName", "wire")}, 200,
			`<ListAccessKeysResponse ` + iamNS + `><ListAccessKeysResult><AccessKeyMetadata><member><UserName>wire</UserName><AccessKeyId>AKIA</AccessKeyId><Status>Active</Status>` +
				`<CreateDate>DATE</CreateDate></member></AccessKeyMetadata><IsTruncated>false</IsTruncated></ListAccessKeysResult>` + meta + `</ListAccessKeysResponse>`},
		{"delete it too early", identityRequest{body: form(iamVersion, "DeleteUser", "UserName", "wire")}, 409,
			errorBody(iamNS, "DeleteConflict", "Cannot delete entity, must delete policies first.")},
		{"delete the policy", identityRequest{body: form(iamVersion, "DeleteUserPolicy", "UserName", "wire", "PolicyName", "p")}, 200,
			`<DeleteUserPolicyResponse ` + iamNS + `>` + meta + `</DeleteUserPolicyResponse>`},

		{"markup in a name", identityRequest{body: form(iamVersion, "GetUser", "UserName", "<b>&")}, 400,
			errorBody(iamNS, "ValidationError", `1 validation error detected: Value &#39;&lt;b&gt;&amp;&#39; at &#39;userName&#39; failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`)},
		{"an unknown action", identityRequest{body: form(iamVersion, "CreateSAMLProvider")}, 400,
			errorBody(iamNS, "InvalidAction", "Could not find operation CreateSAMLProvider for version 2010-05-08")},
		{"an action of the other service", identityRequest{service: "sts", body: form(stsVersion, "ListUsers")}, 400,
			errorBody(stsNS, "InvalidAction", "Could not find operation ListUsers for version 2011-06-15")},
		{"no version", identityRequest{body: "Action=ListUsers"}, 400,
			errorBody(iamNS, "InvalidAction", "Could not find operation ListUsers for version NO_VERSION_SPECIFIED")},
		{"another path", identityRequest{target: "/-/vaults", body: form(iamVersion, "ListUsers")}, 400,
			errorBody(iamNS, "InvalidAction", "Could not find operation for version NO_VERSION_SPECIFIED")},
		{"too many items", identityRequest{body: form(iamVersion, "ListUsers", "MaxItems", "1001")}, 400,
			errorBody(iamNS, "ValidationError", "1 validation error detected: Value &#39;1001&#39; at &#39;maxItems&#39; failed to satisfy constraint: Member must have value between 1 and 1000")},
		{"a wrong secret", identityRequest{secret: "wrong", body: form(iamVersion, "ListUsers")}, 403,
			errorBody(iamNS, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")},
		{"an endless form", identityRequest{body: form(iamVersion, "ListUsers", "x", strings.Repeat("x", 128<<10))}, 400,
			errorBody(iamNS, "ValidationError", "Request body too large")},
		{"a bad escape", identityRequest{body: "Action=%zz"}, 400, errorBody(iamNS, "MalformedQueryString", "Invalid query string")},
	} {
		// Not parallel: a row uses what earlier ones made.
		t.Run(row.name, func(t *testing.T) {
			status, body := row.ask(t)
			if got := masked(body); status != row.status || got != row.want {
				t.Errorf("got  %d %s\nwant %d %s", status, got, row.status, row.want)
			}
		})
	}
}

// TestIdentitySkew looks at the wider window of the identity services.
func TestIdentitySkew(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		off    time.Duration
		status int
		want   string
	}{
		{-14 * time.Minute, 200, "<GetCallerIdentityResult>"},
		{14 * time.Minute, 200, "<GetCallerIdentityResult>"},
		{-16 * time.Minute, 403, " - 15 min.)</Message>"},
		{16 * time.Minute, 403, " + 15 min.)</Message>"},
	} {
		t.Run(row.off.String(), func(t *testing.T) {
			t.Parallel()
			status, body := identityRequest{service: "sts", stamp: time.Now().Add(row.off), body: form(stsVersion, "GetCallerIdentity")}.ask(t)
			if status != row.status || !strings.Contains(body, row.want) {
				t.Errorf("got %d %s, want %d and %s", status, body, row.status, row.want)
			}
			if status == 403 && !strings.Contains(body, "<Code>SignatureDoesNotMatch</Code>") {
				t.Errorf("code: %s", body)
			}
		})
	}
}
