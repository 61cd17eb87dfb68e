package conformance_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// wholeRun reports whether all tests were asked for.
func wholeRun() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}

// sdkLeftOut returns the operations that the SDK for Go has never done with
// success, by the audit log of a server that is stopped. The scripts ask the
// same of the other clients (coverage.py).
func sdkLeftOut(data string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(data, "audit", "audit-*.jsonl*"))
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	for _, file := range files {
		if err := noteSuccesses(file, done); err != nil {
			return nil, err
		}
	}
	var left []string
	for _, o := range operations() {
		if !done[o.name] {
			left = append(left, o.name)
		}
	}
	slices.Sort(left)
	return left, nil
}

func noteSuccesses(file string, done map[string]bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var text io.Reader = f
	if strings.HasSuffix(file, ".gz") { // of an hour that is over
		if text, err = gzip.NewReader(f); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct{ EventSource, EventName, UserAgent, ErrorCode string }
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if r.EventSource == "glacier.amazonaws.com" && r.ErrorCode == "" && strings.HasPrefix(r.UserAgent, "aws-sdk-go-v2/") {
			done[r.EventName] = true
		}
	}
	return lines.Err()
}
