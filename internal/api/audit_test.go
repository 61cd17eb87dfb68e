package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/api"
	"moraine/internal/audit"
	"moraine/internal/audit/audittest"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/disk/crashfs"
	"moraine/internal/housetest"
	"moraine/internal/job"
	"moraine/internal/meta"
	"moraine/internal/sigv4"
	"moraine/internal/vault"
)

// other is an account with a vault "theirs" whose policy lets everybody look.
const other = "123123123123"

// audited is a house with an audit log and a job engine.
type audited struct {
	*house
	fsys *crashfs.FS
	log  *audit.Log
}

func newAudited(t *testing.T, throttle *access.Throttle) *audited {
	t.Helper()
	return newAuditedWith(t, audit.Config{}, api.Config{Throttle: throttle})
}

// newAuditedWith is newAudited with more settings.
func newAuditedWith(t *testing.T, auditing audit.Config, cfg api.Config) *audited {
	t.Helper()
	h := &audited{house: &house{t: t, clock: housetest.NewClock(time.Date(2024, 11, 5, 8, 30, 11, 0, time.UTC))}, fsys: crashfs.New()}
	var err error
	auditing.FS, auditing.Dir, auditing.Now = h.fsys, "audit", h.now
	if h.log, err = audit.Open(auditing); err != nil {
		t.Fatal(err)
	}
	rows := housetest.Rows(t)
	err = rows.Update(t.Context(), func(tx meta.Tx) error {
		return tx.Vaults().Save(moraine.Vault{ID: "t", Account: other, Region: region, Name: "theirs", Created: h.now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	blobs := mem.New()
	pending, authority := new(blob.Pending), access.New(access.Config{Now: h.now})
	jobs := job.New(job.Config{Meta: rows, Blobs: blobs, Pending: pending, Access: authority, Now: h.now, Owner: "one"})
	cfg.Vaults = vault.New(vault.Config{Meta: rows, Blobs: blobs, Pending: pending, Access: authority, Now: h.now})
	cfg.Jobs, cfg.Principals, cfg.Now, cfg.Audit = jobs, directory{}, h.now, h.log
	cfg.Verifier = sigv4.New(sigv4.Config{
		Keys: directory{}, Now: h.now, Services: []string{"glacier"}, Regions: []string{region}, Debug: true,
	})
	cfg.Claimed = func(_ context.Context, keyID string) (access.Principal, bool) {
		p, _ := directory{}.Principal(nil)
		return p, keyID == rootKey.ID
	}
	h.server = httptest.NewServer(api.New(cfg))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- jobs.Run(ctx) }()
	t.Cleanup(func() {
		h.server.Close()
		stop()
		<-ended
		_ = blobs.Close()
	})
	return h
}

// do sends a request with headers; spoil may change it after it was signed.
func (h *audited) do(method, target, body string, spoil func(*http.Request), headers ...string) (*http.Response, string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+target, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	r.Header.Set("X-Amz-Content-Sha256", digest(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if err := sigv4.Sign(r, rootKey, region, "glacier", h.now(), digest(body)); err != nil {
		h.t.Fatal(err)
	}
	if spoil != nil {
		spoil(r)
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

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// written ends the server and returns the text of the log and its records.
func (h *audited) written() (string, []audittest.Event) {
	h.t.Helper()
	h.server.Close()
	if err := h.log.Close(); err != nil {
		h.t.Fatal(err)
	}
	if _, err := audit.Verify(h.fsys, "audit", audit.First{}); err != nil {
		h.t.Error(err)
	}
	var text []byte
	for _, r := range []string{"default", region} {
		text = append(text, h.fsys.ReadFile("audit/audit-"+r+"-2024-11-05T08.jsonl")...)
	}
	return string(text), audittest.Parse(h.t, text)
}

func id(r *http.Response) string { return r.Header["X-Amzn-Requestid"][0] }

// TestAuditOperations is AU1 and AU3: each operation, in success and failure,
// has exactly one record, and none holds a secret.
func TestAuditOperations(t *testing.T) {
	t.Parallel()
	h := newAudited(t, nil)
	type wanted struct {
		op     string
		failed bool
	}
	want := make(map[string]wanted) // by request id
	call := func(op, method, target, body string, headers ...string) *http.Response {
		t.Helper()
		r, text := h.do(method, target, body, nil, headers...)
		failed := strings.Contains(target, "111111111111") || strings.Contains(target, "none")
		if r.StatusCode >= 400 != failed {
			t.Fatalf("%s %s answers %d %s", method, target, r.StatusCode, text)
		}
		want[id(r)] = wanted{op, failed}
		return r
	}
	// both calls an operation on the vault v, and on one that does not exist.
	both := func(op, method, target, body string, headers ...string) *http.Response {
		t.Helper()
		elsewhere := strings.Replace(target, "/v/", "/none/", 1)
		if elsewhere == target {
			elsewhere = strings.Replace(target, "/-/", "/111111111111/", 1)
		}
		call(op, method, elsewhere, body, headers...)
		return call(op, method, target, body, headers...)
	}
	document := `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"keep\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"glacier:DeleteArchive\",\"Resource\":\"` + arn + `\"}]}`
	const v, archive = "/-/vaults/v/", "bytes of an archive that no record may hold"
	part := strings.Repeat("p", 1<<20)
	tree := []string{"x-amz-sha256-tree-hash", digest(archive), "x-amz-archive-description", "a description"}

	both("CreateVault", "PUT", "/-/vaults/v", "")
	both("ListVaults", "GET", "/-/vaults", "")
	both("DescribeVault", "GET", "/-/vaults/v", "")
	uploaded := both("UploadArchive", "POST", v+"archives", archive, tree...).Header.Get("x-amz-archive-id")
	both("DeleteArchive", "DELETE", v+"archives/"+uploaded, "")
	upload := both("InitiateMultipartUpload", "POST", v+"multipart-uploads", "", "x-amz-part-size", "1048576").Header.Get("x-amz-multipart-upload-id")
	at := v + "multipart-uploads/" + upload
	both("UploadMultipartPart", "PUT", at, part, "Content-Range", "bytes 0-1048575/*", "x-amz-sha256-tree-hash", digest(part))
	both("ListParts", "GET", at, "")
	both("ListMultipartUploads", "GET", v+"multipart-uploads?limit=5", "")
	both("CompleteMultipartUpload", "POST", at, "", "x-amz-archive-size", "1048576", "x-amz-sha256-tree-hash", digest(part))
	at = v + "multipart-uploads/" + call("InitiateMultipartUpload", "POST", v+"multipart-uploads", "", "x-amz-part-size", "1048576").Header.Get("x-amz-multipart-upload-id")
	both("AbortMultipartUpload", "DELETE", at, "")
	at = v + "jobs/" + both("InitiateJob", "POST", v+"jobs", `{"Type":"inventory-retrieval"}`).Header.Get("x-amz-job-id")
	both("DescribeJob", "GET", at, "")
	both("ListJobs", "GET", v+"jobs", "")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); ; <-tick.C {
		if _, text := h.do("GET", at, "", nil); strings.Contains(text, `"Completed":true`) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the job does not end: %s", text)
		}
	}
	both("GetJobOutput", "GET", at+"/output", "")
	both("SetVaultNotifications", "PUT", v+"notification-configuration", `{"SNSTopic":"arn:aws:sns:eu-north-1:210987654321:t","Events":["ArchiveRetrievalCompleted"]}`)
	both("GetVaultNotifications", "GET", v+"notification-configuration", "")
	both("DeleteVaultNotifications", "DELETE", v+"notification-configuration", "")
	both("SetDataRetrievalPolicy", "PUT", "/-/policies/data-retrieval", `{"Policy":{"Rules":[{"Strategy":"None"}]}}`)
	both("GetDataRetrievalPolicy", "GET", "/-/policies/data-retrieval", "")
	both("PurchaseProvisionedCapacity", "POST", "/-/provisioned-capacity", "")
	both("ListProvisionedCapacity", "GET", "/-/provisioned-capacity", "")
	both("AddTagsToVault", "POST", v+"tags?operation=add", `{"Tags":{"Team":"ledger"}}`)
	both("RemoveTagsFromVault", "POST", v+"tags?operation=remove", `{"TagKeys":["Team"]}`)
	both("ListTagsForVault", "GET", v+"tags", "")
	both("SetVaultAccessPolicy", "PUT", v+"access-policy", `{"Policy":"`+document+`"}`)
	both("GetVaultAccessPolicy", "GET", v+"access-policy", "")
	denied, _ := h.do("DELETE", v+"archives/x", "", nil)
	both("DeleteVaultAccessPolicy", "DELETE", v+"access-policy", "")
	lockID := both("InitiateVaultLock", "POST", v+"lock-policy", `{"Policy":"`+document+`"}`).Header.Get("x-amz-lock-id")
	both("GetVaultLock", "GET", v+"lock-policy", "")
	both("AbortVaultLock", "DELETE", v+"lock-policy", "")
	h.do("POST", v+"lock-policy/"+lockID, "", nil)
	second := call("InitiateVaultLock", "POST", v+"lock-policy", `{"Policy":"`+document+`"}`).Header.Get("x-amz-lock-id")
	h.do("POST", v+"lock-policy/"+lockID, "", nil)
	both("CompleteVaultLock", "POST", v+"lock-policy/"+second, "")
	h.do("PUT", "/-/vaults/w", "", nil)
	call("DeleteVault", "DELETE", "/-/vaults/w", "")
	call("DeleteVault", "DELETE", "/111111111111/vaults/w", "")
	forged, _ := h.do("GET", "/-/vaults", "", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20241105T083012Z") })
	stranger, _ := h.do("GET", "/-/vaults", "", func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), rootKey.ID, "AKIAZZZZZZZZZZZZZZZZ", 1))
	})
	text, all := h.written()

	byID := make(map[string]audittest.Event)
	for _, r := range all {
		if r.RequestID == "" {
			continue
		}
		if _, twice := byID[r.RequestID]; twice {
			t.Errorf("two records of %s", r.EventName)
		}
		byID[r.RequestID] = r
	}
	seen := make(map[wanted]bool)
	onVault := api.OperationNames()
	for request, w := range want {
		r, ok := byID[request]
		seen[w] = true
		switch {
		case !ok:
			t.Errorf("no record of %+v", w)
		case r.EventName != w.op || w.failed != (r.ErrorCode != ""):
			t.Errorf("%+v is recorded as %s with error %q", w, r.EventName, r.ErrorCode)
		case r.ReadOnly != audit.ReadOnly(w.op) || r.UserIdentity.Type != "Root" || r.UserIdentity.AccessKeyID != rootKey.ID:
			t.Errorf("%+v: %+v", w, r)
		case onVault[w.op] != (len(r.Resources) == 1) || onVault[w.op] && !strings.HasPrefix(r.Resources[0].ARN, "arn:aws:glacier:"+region+":"):
			t.Errorf("%+v: resources %v", w, r.Resources)
		case r.RequestParameters["accountId"] == nil || (r.ReadOnly || w.failed) && r.ResponseElements != nil:
			t.Errorf("%+v: parameters %v, elements %v", w, r.RequestParameters, r.ResponseElements)
		}
	}
	for op := range onVault {
		if !seen[wanted{op, false}] || !seen[wanted{op, true}] {
			t.Errorf("%s is not tried in success and failure", op)
		}
	}
	for name, secret := range map[string]string{
		"secret key": string(rootKey.Secret), "signature": "AWS4-HMAC", "authorization": "Signature=",
		"archive": archive, "lock id": lockID, "second lock id": second,
	} {
		if strings.Contains(text, secret) {
			t.Errorf("a record holds the %s", name)
		}
	}
	refusal := byID[id(denied)]
	details := refusal.AdditionalEventData
	if refusal.ErrorCode != "AccessDenied" || details["decision"] != "DENY" || details["reason"] != "access-policy-explicit" || details["matchedSid"] != "keep" {
		t.Errorf("the denial is recorded as %s, %v", refusal.ErrorCode, details)
	}
	f, s := byID[id(forged)], byID[id(stranger)]
	if f.UserIdentity.Type != "Root" || f.AdditionalEventData["authenticated"] != false || f.ErrorCode != "InvalidSignatureException" {
		t.Errorf("a forged request is recorded as %+v", f)
	}
	if diff := cmp.Diff(audittest.Identity{Type: "Unknown", AccessKeyID: "AKIAZZZZZZZZZZZZZZZZ"}, s.UserIdentity); diff != "" {
		t.Errorf("a request with an unknown key (-want +got):\n%s", diff)
	}
}

// TestAuditShared is AU2 on the wire.
func TestAuditShared(t *testing.T) {
	t.Parallel()
	h := newAudited(t, nil)
	h.do("GET", "/"+other+"/vaults/theirs", "", nil)
	h.do("GET", "/"+other+"/vaults", "", nil) // not possible across accounts
	_, all := h.written()
	all = all[1:]
	if len(all) != 3 || all[0].SharedEventID == "" || all[0].SharedEventID != all[1].SharedEventID || all[0].EventID == all[1].EventID {
		t.Fatalf("records %+v", all)
	}
	if all[0].RecipientAccountID != account || all[1].RecipientAccountID != other || all[1].UserIdentity.AccessKeyID != "" {
		t.Errorf("copies %+v\n%+v", all[0], all[1])
	}
}

// TestAuditFails is AU4: without a record there is no success.
func TestAuditFails(t *testing.T) {
	t.Parallel()
	h := newAudited(t, nil)
	h.do("PUT", "/-/vaults/before", "", nil)
	h.fsys.FailAll(crashfs.Lost)
	r, text := h.do("PUT", "/-/vaults/v", "", nil)
	if r.StatusCode != 500 || !strings.Contains(text, `"code":"ServiceUnavailableException"`) || r.Header.Get("Location") != "" {
		t.Errorf("a write answers %d %s %v", r.StatusCode, text, r.Header)
	}
	if r, text := h.do("GET", "/-/vaults/v", "", nil); r.StatusCode != 200 {
		t.Errorf("a read answers %d %s", r.StatusCode, text)
	}
	h.fsys.Fail(0, 0)
	if r, text := h.do("PUT", "/-/vaults/v", "", nil); r.StatusCode != 201 {
		t.Errorf("afterwards %d %s", r.StatusCode, text)
	}
	// The reply of the last write is here, so its record is durable.
	after := h.fsys.Crash(crashfs.KeepNone, nil)
	if report, err := audit.Verify(after, "audit", audit.First{}); err != nil || report.Records != 5 {
		t.Errorf("after a crash: %+v, %v", report, err)
	}
}

func TestThrottled(t *testing.T) {
	t.Parallel()
	still := func() time.Time { return time.Unix(0, 0) }
	h := newAudited(t, access.NewThrottle(1, 2, still))
	h.do("GET", "/-/vaults", "", nil)
	h.do("GET", "/-/vaults", "", nil)
	h.want(exchange{"GET", "/111111111111/vaults", "", 400, frontRefusal("ThrottlingException", "Rate exceeded")})
	_, all := h.written()
	if r := all[len(all)-1]; r.ErrorCode != "ThrottlingException" || r.EventName != "ListVaults" {
		t.Errorf("recorded as %+v", r)
	}
}

// TestReplay is the replay of captured requests (access-control §1.13): seen in
// their records, and with enforce refused if they must not be done twice and
// succeeded.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		replays func(h func() time.Time) *sigv4.Replays
		deleted int // status of the second DeleteArchive
		marked  bool
	}{
		{"off", func(func() time.Time) *sigv4.Replays { return nil }, 204, false},
		{"log", func(now func() time.Time) *sigv4.Replays { return sigv4.NewReplays(false, now) }, 204, true},
		{"enforce", func(now func() time.Time) *sigv4.Replays { return sigv4.NewReplays(true, now) }, 403, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := func() time.Time { return time.Date(2024, 11, 5, 8, 30, 11, 0, time.UTC) }
			h := newAuditedWith(t, audit.Config{}, api.Config{Replays: tt.replays(now)})
			status := func(method, target, body string, headers ...string) (int, string) {
				r, text := h.do(method, target, body, nil, headers...)
				return r.StatusCode, r.Header.Get("x-amz-archive-id") + text
			}
			for range 2 { // the same instant, so the same signature
				if got, text := status("PUT", "/-/vaults/v", ""); got != 201 {
					t.Errorf("CreateVault answers %d %s", got, text)
				}
				if got, text := status("GET", "/-/vaults/v", ""); got != 200 {
					t.Errorf("DescribeVault answers %d %s", got, text)
				}
			}
			upload := []string{"x-amz-sha256-tree-hash", digest("bytes")}
			got, id := status("POST", "/-/vaults/v/archives", "bytes", upload...)
			if got != 201 {
				t.Fatalf("UploadArchive answers %d", got)
			}
			again, _ := status("POST", "/-/vaults/v/archives", "bytes", upload...)
			if want := map[int]int{204: 201, 403: 403}[tt.deleted]; again != want {
				t.Errorf("the second UploadArchive answers %d, want %d", again, want)
			}
			if got, text := status("DELETE", "/-/vaults/v/archives/"+id, ""); got != 204 {
				t.Fatalf("DeleteArchive answers %d %s", got, text)
			}
			got, text := status("DELETE", "/-/vaults/v/archives/"+id, "")
			if got != tt.deleted || got == 403 && !strings.Contains(text, "InvalidSignatureException") {
				t.Errorf("the second DeleteArchive answers %d %s", got, text)
			}
			// What failed may be tried again.
			for range 2 {
				if got, _ := status("DELETE", "/-/vaults/v/archives/none", ""); got != 404 {
					t.Errorf("DeleteArchive of what is not there answers %d", got)
				}
			}
			_, all := h.written()
			seen := make(map[string]int)
			for _, r := range all {
				seen[r.EventName]++
				marked := r.AdditionalEventData["replaySuspected"] == true
				want := tt.marked && !r.ReadOnly && (seen[r.EventName] == 2 || seen[r.EventName] == 4)
				if marked != want {
					t.Errorf("%s, number %d: marked %v", r.EventName, seen[r.EventName], marked)
				}
			}
		})
	}
}

// TestAuditDataEvents checks which operations count as data events.
func TestAuditDataEvents(t *testing.T) {
	t.Parallel()
	h := newAuditedWith(t, audit.Config{DataEvents: true}, api.Config{})
	h.do("PUT", "/-/vaults/v", "", nil)
	for _, route := range api.Routes() {
		method, target, _ := strings.Cut(route, " ")
		h.do(method, strings.NewReplacer("{v}", "none", "{id}", "x").Replace("/-/"+target), "", nil)
	}
	_, all := h.written()
	data := map[string]bool{"UploadArchive": true, "DeleteArchive": true, "UploadMultipartPart": true, "GetJobOutput": true}
	found := 0
	for _, r := range all {
		category := "Management"
		if data[r.EventName] {
			category = "Data"
			found++
		}
		if r.EventCategory != category || r.ManagementEvent == data[r.EventName] {
			t.Errorf("%s is %s, %v", r.EventName, r.EventCategory, r.ManagementEvent)
		}
	}
	if found != len(data) || len(all) < 34 {
		t.Errorf("%d data events of %d records", found, len(all))
	}
}
