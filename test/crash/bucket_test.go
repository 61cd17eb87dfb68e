package crash_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	gateway "moraine/internal/gatewaytest"
	"moraine/test/internal/moraineproc"
)

// TestKillBucket kills a server that keeps its bytes in a bucket of a store that
// lives on: whatever was acknowledged is there and whole.
func TestKillBucket(t *testing.T) {
	binary, err := gateway.Build(t.Context())
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 4))
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "buckets", "one"), 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := gateway.Start(t.Context(), binary, filepath.Join(dir, "buckets"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Stop)
	l, p := newLedger(seed), newPost(t, seed)
	c := config(filepath.Join(dir, "data"))
	place := []string{"--blobs", "s3://one/deep", "--s3-endpoint", store.URL, "--s3-path-style", "--s3-region", gateway.Region}
	c.Args = append(append(c.Args, place...), l.regionFlag())
	c.Env = append(c.Env, "MORAINE_S3_ACCESS_KEY_ID="+gateway.KeyID, "MORAINE_S3_SECRET_ACCESS_KEY="+gateway.Secret)
	p.settings(&c)
	s := launch(t, c)
	l.setUp(t, s, r)

	for round := range *rounds {
		work(t, l, s, r)
		s = launch(t, c)
		last := round == *rounds-1
		check := l.verifier(s, r, last || *rounds <= 4)
		check.last = last
		check.run(t)
		if last {
			check.completeAll(t)
		}
		t.Logf("round %d: %d MiB read back", round+1, check.bytes.Load()>>20)
		if len(l.faults) > 0 {
			break
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	fsck := exec.CommandContext(t.Context(), serverBinary, append([]string{"fsck", "--data", c.Data}, place...)...)
	fsck.Env = append(os.Environ(), c.Env...)
	fsck.Env = append(fsck.Env, "MORAINE_REGION="+moraineproc.Region)
	out, err := fsck.CombinedOutput()
	if err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	t.Logf("fsck:\n%s", out)
	for i, fault := range l.faults {
		if i < 50 {
			t.Error(fault)
		}
	}
	if t.Failed() {
		t.Logf("last output of the server:\n%s", s.Log())
	}
}
