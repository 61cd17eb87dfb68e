package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/api"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/housetest"
	"moraine/internal/job"
	"moraine/internal/sigv4"
	"moraine/internal/vault"
)

const (
	account = "210987654321"
	region  = "eu-north-1"
	arn     = "arn:aws:glacier:eu-north-1:210987654321:vaults/v"
)

// directory knows one key, that of the account's root.
type directory struct{}

var rootKey = sigv4.Key{ID: "AKIAAAAAAAAAAAAAAAAA", Secret: sigv4.Secret("0123456789012345678901234567890123456789")}

func (directory) Lookup(_ context.Context, keyID, _ string) (sigv4.Key, error) {
	if keyID != rootKey.ID {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return rootKey, nil
}

func (directory) Principal(*sigv4.Result) (access.Principal, error) {
	return access.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Root: true}, nil
}

// house is the API on real rows behind a listener on loopback, with a clock
// that tests move and one vault, "v".
type house struct {
	t      *testing.T
	server *httptest.Server
	clock  *housetest.Clock
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, clock: housetest.NewClock(time.Date(2024, 11, 5, 8, 30, 11, int(275*time.Millisecond), time.UTC))}
	rows, blobs := housetest.Rows(t), mem.New()
	pending, authority := new(blob.Pending), access.New(access.Config{Now: h.now})
	h.server = httptest.NewServer(api.New(api.Config{
		Vaults:     vault.New(vault.Config{Meta: rows, Blobs: blobs, Pending: pending, Access: authority, Now: h.now}),
		Jobs:       job.New(job.Config{Meta: rows, Blobs: blobs, Pending: pending, Access: authority, Now: h.now, Owner: "one"}),
		Verifier:   sigv4.New(sigv4.Config{Keys: directory{}, Now: h.now, Services: []string{"glacier"}, Regions: []string{region}}),
		Principals: directory{}, Now: h.now,
	}))
	t.Cleanup(func() {
		h.server.Close()
		if err := blobs.Close(); err != nil {
			t.Error(err)
		}
	})
	h.want(exchange{"PUT", "/-/vaults/v", "", 201, ""})
	return h
}

func (h *house) now() time.Time { return h.clock.Now() }

func (h *house) advance(d time.Duration) { h.clock.Advance(d) }

// send signs and sends a request of root.
func (h *house) send(method, target, body string) (*http.Response, string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+target, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	sum := sha256.Sum256([]byte(body))
	if err := sigv4.Sign(r, rootKey, region, "glacier", h.now(), hex.EncodeToString(sum[:])); err != nil {
		h.t.Fatal(err)
	}
	answer, err := h.server.Client().Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer, string(text)
}

// exchange is a request and its answer to the byte.
type exchange struct {
	method, target, body string
	status               int
	answer               string
}

func (h *house) want(e exchange) *http.Response {
	h.t.Helper()
	r, text := h.send(e.method, e.target, e.body)
	if r.StatusCode != e.status || text != e.answer {
		h.t.Errorf("%s %s %s\nanswers %d %s\nwant    %d %s", e.method, e.target, e.body, r.StatusCode, text, e.status, e.answer)
	}
	contentType := "application/json"
	if e.answer == "" {
		contentType = ""
	}
	if got := r.Header.Get("Content-Type"); got != contentType {
		h.t.Errorf("%s %s: Content-Type %q, want %q", e.method, e.target, got, contentType)
	}
	return r
}

// refusal is the body of an error of an operation.
func refusal(code, message string) string {
	return `{"code":"` + code + `","message":"` + message + `","type":"Client"}`
}

// frontRefusal is the body of an error from before the operation.
func frontRefusal(code, message string) string {
	return `{"message":"` + message + `","code":"` + code + `","type":"Client"}`
}

func invalid(message string) string { return refusal("InvalidParameterValueException", message) }
func missing(name string) string {
	return refusal("MissingParameterValueException", "Required parameter missing: "+name)
}

var notJSON = refusal("SerializationException", "Could not parse request body into json.")

func TestTags(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const tags, add, remove = "/-/vaults/v/tags", "/-/vaults/v/tags?operation=add", "/-/vaults/v/tags?operation=remove"
	for _, e := range []exchange{
		{"GET", tags, "", 200, `{"Tags":{}}`},
		{"POST", add, `{"Tags":{"team":"ledger","env":"","n":7,"null":null}}`, 204, ""},
		{"GET", tags, "", 200, `{"Tags":{"env":"","n":"7","null":"","team":"ledger"}}`},
		{"POST", remove, `{"TagKeys":["null",  "n","none"]}`, 204, ""},
		{"GET", tags, "", 200, `{"Tags":{"env":"","team":"ledger"}}`},
		{"POST", tags, `{"Tags":{"a":"b"}}`, 400, missing("operation")},
		{"POST", tags + "?operation=", `{"Tags":{"a":"b"}}`, 400, missing("operation")},
		{"POST", tags + "?operation=Add", `{"Tags":{"a":"b"}}`, 400, invalid("Invalid operation: Add")},
		{"POST", tags + "?operation=add&operation=remove", `{"Tags":{"a":"<&>"}}`, 400, invalid("Invalid tag value: <&>")},
		{"POST", add, "", 400, notJSON},
		{"POST", add, `[]`, 400, notJSON},
		{"POST", add, `{"Tags":[]}`, 400, notJSON},
		{"POST", add, `{"Tags":{"a":{}}}`, 400, notJSON},
		{"POST", add, `{"tags":{"a":"b"}}`, 400, missing("tags")},
		{"POST", add, `{"Tags":null}`, 400, missing("tags")},
		{"POST", add, `{"Tags":{}}`, 400, invalid("Invalid Tags: 0 entries where 1 to 10 are allowed")},
		{"POST", add, `{"Tags":{"aws:x":""}}`, 400, invalid("Invalid tag key: aws:x")},
		{"POST", remove, `{"TagsKeys":["a"]}`, 400, missing("tagKeys")},
		{"POST", remove, `{"TagKeys":[]}`, 400, invalid("Invalid TagKeys: 0 entries where 1 to 10 are allowed")},
		{"POST", remove, `{"TagKeys":"a"}`, 400, notJSON},
		{"POST", remove, `{"TagKeys":[["a"]]}`, 400, notJSON},
		{"POST", "/-/vaults/w/tags?operation=add", `{"Tags":{"a":"b"}}`, 404,
			refusal("ResourceNotFoundException", "Vault not found for ARN: arn:aws:glacier:eu-north-1:210987654321:vaults/w")},
		{"GET", "/111111111111/vaults/v/tags", "", 403,
			frontRefusal("AccessDeniedException", "Access denied for account ID: 111111111111")},
		{"DELETE", tags, "", 400, frontRefusal("BadRequest", "The request does not match any operation: DELETE /-/vaults/v/tags")},
	} {
		h.want(e)
	}
}

func TestAccessPolicy(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const path = "/-/vaults/v/access-policy"
	document := `{\"Version\":\"2012-10-17\", \"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"glacier:DescribeVault\",\"Resource\":\"` + arn + `\",\"Condition\":{\"StringEquals\":{\"aws:UserAgent\":\"<&>é\"}}}]}\n`
	for _, e := range []exchange{
		{"GET", path, "", 404, refusal("ResourceNotFoundException", "No vault access policy is set for: v")},
		{"DELETE", path, "", 204, ""},
		{"PUT", path, `{"Policy":"` + document + `"}`, 204, ""},
		{"GET", path, "", 200, `{"Policy":"` + document + `"}`},
		{"PUT", path, `{"Policy":""}`, 400, invalid("The specified vault access policy is invalid. Provide a valid policy. (not JSON)")},
		{"PUT", path, `{}`, 400, missing("Policy")},
		{"PUT", path, `{"Policy":null}`, 400, missing("Policy")},
		{"PUT", path, `{"Policy":{}}`, 400, notJSON},
		{"PUT", path, `{`, 400, notJSON},
		{"GET", path, "", 200, `{"Policy":"` + document + `"}`},
		{"DELETE", path, "", 204, ""},
		{"GET", path, "", 404, refusal("ResourceNotFoundException", "No vault access policy is set for: v")},
	} {
		h.want(e)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const path = "/-/vaults/v/lock-policy"
	denied := func(message string) string { return refusal("AccessDeniedException", message) }
	document := `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"glacier:DeleteVault\",\"Resource\":\"` + arn + `\"}]}`
	h.want(exchange{"GET", path, "", 404, refusal("ResourceNotFoundException", "No vault lock policy is set for: v")})
	h.want(exchange{"DELETE", path, "", 204, ""})
	h.want(exchange{"POST", path + "/x", "", 404, refusal("ResourceNotFoundException", "No vault lock in progress for: "+arn)})
	h.want(exchange{"POST", path, `{}`, 400, missing("Policy")})
	h.want(exchange{"POST", path, ``, 400, notJSON})
	r := h.want(exchange{"POST", path, `{"Policy":"` + document + `"}`, 201, ""})
	id := r.Header.Get("x-amz-lock-id")
	if !regexp.MustCompile(`^[A-Za-z0-9]{24}$`).MatchString(id) || r.Header.Get("Location") != "" || r.Header.Get("Content-Length") != "0" {
		t.Errorf("lock id %q, headers %v", id, r.Header)
	}
	h.advance(time.Minute)
	h.want(exchange{"GET", path, "", 200, `{"CreationDate":"2024-11-05T08:30:11.275Z","ExpirationDate":"2024-11-06T08:30:11.275Z","Policy":"` +
		document + `","State":"InProgress"}`})
	h.want(exchange{"POST", path, `{"Policy":"` + document + `"}`, 403, denied("Vault lock is already in progress for: " + arn)})
	h.want(exchange{"POST", path + "/wrong", "", 400, invalid("Invalid lock ID: wrong")})
	h.want(exchange{"POST", path + "/" + id, "", 204, ""})
	h.want(exchange{"POST", path + "/" + id, "", 204, ""})
	h.want(exchange{"GET", path, "", 200, `{"CreationDate":"2024-11-05T08:30:11.275Z","ExpirationDate":null,"Policy":"` +
		document + `","State":"Locked"}`})
	h.want(exchange{"POST", path + "/wrong", "", 403, denied("Vault is already locked: " + arn)})
	h.want(exchange{"DELETE", path, "", 403, denied("Vault is already locked: " + arn)})
	h.want(exchange{"POST", path, `{"Policy":"` + document + `"}`, 403, denied("Vault is already locked: " + arn)})
	h.want(exchange{"DELETE", "/-/vaults/v", "", 403, frontRefusal("AccessDeniedException",
		"User: arn:aws:iam::210987654321:root is not authorized to perform: glacier:DeleteVault on resource: "+arn+
			" with an explicit deny in a resource-based policy")})
}

func TestDataRetrievalPolicy(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const path = "/-/policies/data-retrieval"
	unrouted := func(method, path string) string {
		return frontRefusal("BadRequest", "The request does not match any operation: "+method+" "+path)
	}
	for _, e := range []exchange{
		{"GET", path, "", 200, `{"Policy":{"Rules":[{"BytesPerHour":null,"Strategy":"None"}]}}`},
		{"PUT", path, `{"Policy":{"Rules":[{"BytesPerHour":1073741824,"Strategy":"BytesPerHour"}]}}`, 204, ""},
		{"GET", path, "", 200, `{"Policy":{"Rules":[{"BytesPerHour":1073741824,"Strategy":"BytesPerHour"}]}}`},
		{"PUT", path, `{"Policy":{"Rules":[{"BytesPerHour":null,"Strategy":"FreeTier"}]}}`, 204, ""},
		{"GET", "/210987654321/policies/data-retrieval", "", 200, `{"Policy":{"Rules":[{"BytesPerHour":null,"Strategy":"FreeTier"}]}}`},
		{"PUT", path, `{}`, 400, missing("policy")},
		{"PUT", path, `{"Policy":{}}`, 400, missing("rules")},
		{"PUT", path, `{"Policy":{"Rules":[]}}`, 400, invalid("Invalid Rules: 0 rules where exactly one is allowed")},
		{"PUT", path, `{"Policy":{"Rules":[{}]}}`, 400, missing("strategy")},
		{"PUT", path, `{"Policy":{"Rules":[{"Strategy":"BytesPerHour"}]}}`, 400, missing("bytesPerHour")},
		{"PUT", path, `{"Policy":{"Rules":[{"Strategy":"BytesPerHour","BytesPerHour":-1}]}}`, 400, invalid("Invalid BytesPerHour: -1")},
		{"PUT", path, `{"Policy":{"Rules":[{"Strategy":"BytesPerHour","BytesPerHour":1e3}]}}`, 400, invalid("Invalid BytesPerHour: 1e3")},
		{"PUT", path, `{"Policy":{"Rules":[{"Strategy":"BytesPerHour","BytesPerHour":"1"}]}}`, 400, notJSON},
		{"PUT", path, `{"Policy":{"Rules":[null]}}`, 400, notJSON},
		{"PUT", path, `{"Policy":"x"}`, 400, notJSON},
		{"GET", "/111111111111/policies/data-retrieval", "", 403, frontRefusal("AccessDeniedException", "Access denied for account ID: 111111111111")},
		{"GET", "/-/policies/other", "", 400, unrouted("GET", "/-/policies/other")},
		{"GET", "/-/policies", "", 400, unrouted("GET", "/-/policies")},
		{"DELETE", path, "", 400, unrouted("DELETE", path)},
	} {
		h.want(e)
	}
}

func TestProvisionedCapacity(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const path = "/-/provisioned-capacity"
	h.want(exchange{"GET", path, "", 200, `{"ProvisionedCapacityList":[]}`})
	r := h.want(exchange{"POST", path, "", 201, ""})
	id := r.Header.Get("x-amz-capacity-id")
	if len(id) != 24 || strings.HasPrefix(id, "-") || r.Header.Get("Location") != "" {
		t.Errorf("capacity id %q, headers %v", id, r.Header)
	}
	h.want(exchange{"GET", path, "", 200, `{"ProvisionedCapacityList":[{"CapacityId":"` + id +
		`","ExpirationDate":"2024-12-05T08:30:11.000Z","StartDate":"2024-11-05T08:30:11.275Z"}]}`})
	h.want(exchange{"POST", path, "", 201, ""})
	h.want(exchange{"POST", path, "", 400, refusal("LimitExceededException", "Provisioned capacity limit exceeded for account: 210987654321")})
}

// TestEveryKind checks that no kind of error is forgotten on its way to the
// wire.
func TestEveryKind(t *testing.T) {
	t.Parallel()
	for k := moraine.Internal; k <= moraine.Locked; k++ {
		if api.WireCode(k) == "" {
			t.Errorf("kind %v has no wire code", k)
		}
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const path = "/-/vaults/v/notification-configuration"
	const topic = "arn:aws:sns:eu-north-1:210987654321:glacier-done"
	none := refusal("ResourceNotFoundException", "No notification configuration is set for vault: "+arn)
	noVault := refusal("ResourceNotFoundException", "Vault not found for ARN: arn:aws:glacier:eu-north-1:210987654321:vaults/w")
	for _, e := range []exchange{
		{"GET", path, "", 404, none},
		{"DELETE", path, "", 204, ""},
		{"PUT", path, `{"SNSTopic":"` + topic + `","Events":["InventoryRetrievalCompleted","ArchiveRetrievalCompleted"],"other":1}`, 204, ""},
		{"GET", path, "", 200, `{"Events":["InventoryRetrievalCompleted","ArchiveRetrievalCompleted"],"SNSTopic":"` + topic + `"}`},
		{"PUT", path, `{"SNSTopic":"arn:a:b:c:d:<&>","Events":["ArchiveRetrievalCompleted","ArchiveRetrievalCompleted","ArchiveRetrievalCompleted"]}`, 204, ""},
		{"GET", path, "", 200, `{"Events":["ArchiveRetrievalCompleted"],"SNSTopic":"arn:a:b:c:d:<&>"}`},
		{"PUT", path, ``, 400, notJSON},
		{"PUT", path, `[]`, 400, notJSON},
		{"PUT", path, `{}`, 400, missing("snsTopic")},
		{"PUT", path, `{"vaultNotificationConfig":{"SNSTopic":"` + topic + `"}}`, 400, missing("snsTopic")},
		{"PUT", path, `{"SNSTopic":null,"Events":["ArchiveRetrievalCompleted"]}`, 400, missing("snsTopic")},
		{"PUT", path, `{"SNSTopic":"` + topic + `"}`, 400, missing("events")},
		{"PUT", path, `{"SNSTopic":"` + topic + `","Events":null}`, 400, missing("events")},
		{"PUT", path, `{"SNSTopic":"` + topic + `","Events":[]}`, 400, invalid("Invalid Events: []")},
		{"PUT", path, `{"SNSTopic":"` + topic + `","Events":["ArchiveRetrievalCompleted","Other"]}`, 400, invalid("Invalid Events: Other")},
		{"PUT", path, `{"SNSTopic":"` + topic + `","Events":"ArchiveRetrievalCompleted"}`, 400, notJSON},
		{"PUT", path, `{"SNSTopic":"` + topic + `","Events":[{}]}`, 400, notJSON},
		{"PUT", path, `{"SNSTopic":"topic","Events":["ArchiveRetrievalCompleted"]}`, 400, invalid("Invalid SNSTopic: topic")},
		{"GET", path, "", 200, `{"Events":["ArchiveRetrievalCompleted"],"SNSTopic":"arn:a:b:c:d:<&>"}`},
		{"GET", "/-/vaults/w/notification-configuration", "", 404, noVault},
		{"DELETE", "/-/vaults/w/notification-configuration", "", 404, noVault},
		{"PUT", "/-/vaults/w/notification-configuration", `{"SNSTopic":"` + topic + `","Events":["ArchiveRetrievalCompleted"]}`, 404, noVault},
		{"PUT", "/-/vaults/w/notification-configuration", `{}`, 400, missing("snsTopic")},
		{"GET", "/111111111111/vaults/v/notification-configuration", "", 403, frontRefusal("AccessDeniedException", "Access denied for account ID: 111111111111")},
		{"POST", path, "", 400, frontRefusal("BadRequest", "The request does not match any operation: POST "+path)},
		{"DELETE", path, "", 204, ""},
		{"GET", path, "", 404, none},
	} {
		h.want(e)
	}
}
