package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/audit"
	"moraine/internal/audit/audittest"
	"moraine/internal/job"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/server"
	"moraine/internal/sigv4"
)

// trail returns the text of the audit log of a data directory, and its records.
func trail(t testing.TB, dir string) (string, []audittest.Event) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "audit", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return string(all), audittest.Parse(t, all)
}

// form sends a call of IAM or STS and returns the answer.
func (r *running) form(t *testing.T, k sigv4.Key, service, version string, params url.Values) string {
	t.Helper()
	params.Set("Version", version)
	body := params.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	if err := sigv4.Sign(req, k, "us-east-1", service, time.Now(), hex.EncodeToString(sum[:])); err != nil {
		t.Fatal(err)
	}
	resp, err := newTransport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAuditTrail is AU3 and AU4 on a whole server: the record of a write is in
// the file when the reply is here, no record and no line of the log holds a
// secret, and the chain goes on over a restart.
func TestAuditTrail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, settings(t, dir))
	k := key(t, dir)
	resp, err := r.call(t, k, http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)
	_, records := trail(t, dir)
	if last := records[len(records)-1]; last.EventName != "CreateVault" || last.ResponseElements["location"] == "" || last.RequestID != resp.Header["X-Amzn-Requestid"][0] {
		t.Errorf("after the reply the last record is %+v", last)
	}
	const iam, sts = "2010-05-08", "2011-06-15"
	r.form(t, k, "iam", iam, url.Values{"Action": {"CreateUser"}, "UserName": {"bob"}})
	var made struct {
		Key struct{ AccessKeyId, SecretAccessKey string } `xml:"CreateAccessKeyResult>AccessKey"`
	}
	answer := r.form(t, k, "iam", iam, url.Values{"Action": {"CreateAccessKey"}, "UserName": {"bob"}})
	if err := xml.Unmarshal([]byte(answer), &made); err != nil || made.Key.SecretAccessKey == "" {
		t.Fatalf("%v: %s", err, answer)
	}
	bob := sigv4.Key{ID: made.Key.AccessKeyId, Secret: sigv4.Secret(made.Key.SecretAccessKey)}
	var session struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string } `xml:"GetSessionTokenResult>Credentials"`
	}
	answer = r.form(t, bob, "sts", sts, url.Values{"Action": {"GetSessionToken"}})
	if err := xml.Unmarshal([]byte(answer), &session); err != nil || session.Credentials.SessionToken == "" {
		t.Fatalf("%v: %s", err, answer)
	}
	c := session.Credentials
	temporary := sigv4.Key{ID: c.AccessKeyId, Secret: sigv4.Secret(c.SecretAccessKey), Token: sigv4.Secret(c.SessionToken)}
	resp, err = r.call(t, temporary, http.MethodGet, "/-/vaults", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusForbidden)
	r.form(t, sigv4.Key{ID: bob.ID, Secret: sigv4.Secret("wrong, but as long as a secret is")}, "iam", iam, url.Values{"Action": {"GetUser"}})
	r.stop(t)

	text, records := trail(t, dir)
	for name, secret := range map[string]string{
		"root's secret": string(k.Secret), "a user's secret": string(bob.Secret), "a session's secret": c.SecretAccessKey,
		"a session token": c.SessionToken, "an authorization": "AWS4-HMAC",
	} {
		if strings.Contains(text, secret) || strings.Contains(r.log.wait(t, "", 0), secret) {
			t.Errorf("the audit log or the log holds %s", name)
		}
	}
	got := make([]string, len(records))
	for i := range records {
		got[i] = records[i].EventName + " " + records[i].UserIdentity.UserName + " " + records[i].ErrorCode
	}
	want := "AuditOpened  , CreateVault  , CreateUser  , CreateAccessKey  , GetSessionToken bob , ListVaults bob AccessDenied, Unknown bob SignatureDoesNotMatch"
	if all := strings.Join(got, ", "); all != want {
		t.Errorf("records %s\nwant    %s", all, want)
	}
	if s := records[5].UserIdentity.Session; s == nil || s.Attributes.MFAAuthenticated != "false" || records[5].AdditionalEventData["reason"] != "identity-implicit" {
		t.Errorf("the denied call of a session is %+v", records[5])
	}

	r = start(t, settings(t, dir))
	r.stop(t)
	var out bytes.Buffer
	if err := server.VerifyAudit(dir, audit.First{}, &out); err != nil || !strings.Contains(out.String(), "us-east-1: 1 to 8, last hash ") {
		t.Errorf("verify: %v\n%s", err, out.String())
	}
	name := filepath.Dir(filepath.Join(dir, "audit", "x"))
	files, _ := filepath.Glob(filepath.Join(name, "*.jsonl"))
	spoiled, _ := os.ReadFile(files[0])
	if err := os.WriteFile(files[0], bytes.Replace(spoiled, []byte("bob"), []byte("eve"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.VerifyAudit(dir, audit.First{}, &out); err == nil || !strings.Contains(err.Error(), ", line 3: its hash") {
		t.Errorf("an altered line: %v", err)
	}
}

// TestServiceEvents checks what a server records by itself: settings and keys
// that differ from the last start, by name alone, and a policy that does not
// parse, once.
func TestServiceEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, dir)
	cfg.Root = account.Root{KeyID: "AKIAMORAINETEST00001", Secret: sigv4.Secret("the first secret of the root, 40 letters")}
	cfg.Notify.SNSKeyID, cfg.Notify.SNSSecret = "AKIAMORAINETEST00003", "the first secret of SNS"
	r := start(t, cfg)
	k := sigv4.Key{ID: cfg.Root.KeyID, Secret: cfg.Root.Secret}
	resp, err := r.call(t, k, http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)
	r.stop(t)
	start(t, cfg).stop(t) // nothing differs

	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(dir, "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	err = rows.Update(t.Context(), func(tx meta.Tx) error {
		v, err := tx.Vaults().Get(accountOf(t, dir), "us-east-1", "v")
		v.Revision = 7
		return errors.Join(err, tx.Vaults().Save(v), tx.Documents().SetAccessPolicy(v.ID, &moraine.VaultPolicy{Text: "{", Principals: "{}"}))
	})
	if err = errors.Join(err, rows.Close()); err != nil {
		t.Fatal(err)
	}
	master := filepath.Join(dir, "master.key")
	keys, err := os.ReadFile(master)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(master, append([]byte(account.GenerateMaster()), keys...), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.JobDelay = job.Delays{Bulk: time.Hour}
	cfg.Root.KeyID, cfg.Root.Secret = "AKIAMORAINETEST00002", sigv4.Secret("the second secret of the root, 40 letter")
	cfg.Notify.SNSSecret = "the second secret of SNS"
	r = start(t, cfg)
	k = sigv4.Key{ID: cfg.Root.KeyID, Secret: cfg.Root.Secret}
	for range 2 {
		resp, err = r.call(t, k, http.MethodGet, "/-/vaults/v", emptyHash, nil, nil)
		mustAnswer(t, resp, err, http.StatusForbidden)
	}
	r.stop(t)
	start(t, cfg).stop(t) // nothing differs again

	text, records := trail(t, dir)
	var got []string
	for _, e := range records {
		if e.EventType != "AwsServiceEvent" || e.EventName == "AuditOpened" {
			continue
		}
		if e.UserIdentity.Type != "AWSService" || e.UserIdentity.InvokedBy != "moraine.internal" {
			t.Errorf("%s is by %+v", e.EventName, e.UserIdentity)
		}
		detail := fmt.Sprint(e.AdditionalEventData["settings"], e.AdditionalEventData["key"], e.AdditionalEventData["policySource"])
		got = append(got, e.EventName+" "+strings.TrimSpace(strings.ReplaceAll(detail, "<nil>", "")))
	}
	want := []string{
		"ConfigChange [job.delay notify.sns_secret_access_key root_access_key_id root_secret_access_key]",
		"KeyRotation master", "KeyRotation root", "PolicyUnparsable access-policy",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "last-settings"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"secret of", "1h0m", "second"} {
		if strings.Contains(text, word) || bytes.Contains(kept, []byte(word)) {
			t.Errorf("the audit log or the settings of the last start hold %q", word)
		}
	}
}

// accountOf is the account of a data directory.
func accountOf(t testing.TB, dir string) moraine.AccountID {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "account-id"))
	if err != nil {
		t.Fatal(err)
	}
	return moraine.AccountID(strings.TrimSpace(string(text)))
}

// BenchmarkUpload shows what the audit log costs uploads of 64 KiB.
func BenchmarkUpload(b *testing.B) {
	body := bytes.Repeat([]byte("moraine!"), 8<<10)
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	for _, clients := range []int{1, 16, 64} {
		for _, destination := range []string{"off", "file"} {
			b.Run(fmt.Sprintf("%d/%s", clients, destination), func(b *testing.B) {
				dir := b.TempDir()
				cfg := settings(b, dir)
				cfg.Audit.Destination = destination
				r := start(b, cfg)
				k := key(b, dir)
				resp, err := r.call(b, k, http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
				mustAnswer(b, resp, err, http.StatusCreated)
				client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
				work := make(chan struct{})
				var all sync.WaitGroup
				for range clients {
					all.Go(func() {
						for range work {
							req, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, r.url+"/-/vaults/v/archives", bytes.NewReader(body))
							req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
							req.Header.Set("X-Amz-Content-Sha256", digest)
							req.Header.Set("X-Amz-Sha256-Tree-Hash", digest)
							if err := sigv4.Sign(req, k, "us-east-1", "glacier", time.Now(), digest); err != nil {
								b.Error(err)
							}
							resp, err := client.Do(req)
							if err != nil {
								b.Error(err)
								continue
							}
							resp.Body.Close()
							if resp.StatusCode != http.StatusCreated {
								b.Error(resp.Status)
							}
						}
					})
				}
				for b.Loop() {
					work <- struct{}{}
				}
				close(work)
				all.Wait()
				b.StopTimer()
				client.CloseIdleConnections()
				r.stop(b)
			})
		}
	}
}
