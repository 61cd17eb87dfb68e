package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
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
