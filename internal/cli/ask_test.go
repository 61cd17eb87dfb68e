package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"moraine/internal/server"
	"moraine/internal/sigv4"
	"moraine/internal/treehash"
)

// ask sends a request of root, which must succeed, and sets the variables
// ARCHIVE and LOCK to the ids in the answer.
func ask(ts *testscript.TestScript, _ bool, args []string) {
	var body []byte
	if len(args) > 3 {
		var err error
		body, err = os.ReadFile(ts.MkAbs(args[3]))
		ts.Check(err)
	}
	key, err := server.ReadKey(ts.MkAbs(args[2]))
	ts.Check(err)
	r, err := http.NewRequest(args[0], args[1], bytes.NewReader(body)) //nolint:noctx // a testscript has none
	ts.Check(err)
	sum := sha256.Sum256(body)
	h := treehash.NewHasher()
	h.Write(body)
	r.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	r.Header.Set("X-Amz-Sha256-Tree-Hash", h.Tree().String())
	ts.Check(sigv4.Sign(r, key, "us-east-1", "glacier", time.Now(), ""))
	resp, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode/100 != 2 {
		ts.Fatalf("%s %s: %s: %s", args[0], args[1], resp.Status, text)
	}
	ts.Setenv("ARCHIVE", resp.Header.Get("X-Amz-Archive-Id"))
	ts.Setenv("LOCK", resp.Header.Get("X-Amz-Lock-Id"))
}

// iam asks for an operation of IAM or, if its name is one of theirs, STS.
func iam(ts *testscript.TestScript, neg bool, args []string) {
	service, version := "iam", "2010-05-08"
	switch args[2] {
	case "AssumeRole", "GetCallerIdentity", "GetSessionToken":
		service, version = "sts", "2011-06-15"
	}
	key := sigv4.Key{ID: ts.Getenv("AWS_ACCESS_KEY_ID"), Secret: sigv4.Secret(ts.Getenv("AWS_SECRET_ACCESS_KEY")), Token: sigv4.Secret(ts.Getenv("AWS_SESSION_TOKEN"))}
	if args[1] != "-" {
		var err error
		key, err = server.ReadKey(ts.MkAbs(args[1]))
		ts.Check(err)
	}
	form := url.Values{"Action": {args[2]}, "Version": {version}}
	for _, pair := range args[3:] {
		name, value, _ := strings.Cut(pair, "=")
		form.Set(name, value)
	}
	body := form.Encode()
	r, err := http.NewRequest(http.MethodPost, args[0], strings.NewReader(body)) //nolint:noctx // a testscript has none
	ts.Check(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	ts.Check(sigv4.Sign(r, key, "us-east-1", service, time.Now(), hex.EncodeToString(sum[:])))
	resp, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if failed := resp.StatusCode/100 != 2; failed != neg {
		ts.Fatalf("%s: %s: %s", args[2], resp.Status, text)
	}
	ts.Check(os.WriteFile(ts.MkAbs("answer"), text, 0o600))
}
