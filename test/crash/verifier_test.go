package crash_test

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"moraine/test/internal/vaultclient"
)

// TestVerifierSeesLoss proves the proof: a ledger that disagrees with the
// server in one way must give exactly that fault.
func TestVerifierSeesLoss(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		lie  func(l *ledger, a *archive, u *upload)
		want string
	}{
		{"the truth", func(*ledger, *archive, *upload) {}, ""},
		{"an archive that is not there", func(l *ledger, a *archive, _ *upload) {
			l.archives["none"] = &archive{id: "none", vault: a.vault, description: "none", payload: a.payload}
		}, "LOST: archive none"},
		{"an archive with other bytes", func(l *ledger, a *archive, _ *upload) {
			a.payload.Linear = strings.Repeat("0", 64)
		}, "LOST: archive "},
		{"an archive with another tree hash", func(l *ledger, a *archive, _ *upload) {
			a.payload.Tree = strings.Repeat("0", 64)
		}, "is listed as"},
		{"an archive that should be gone", func(l *ledger, a *archive, _ *upload) {
			a.fate = deleted
		}, "came back"},
		{"an archive nobody sent", func(l *ledger, a *archive, _ *upload) {
			delete(l.archives, a.id)
		}, "was never sent"},
		{"a part that is not there", func(l *ledger, a *archive, u *upload) {
			u.parts[1].acked = &a.payload
		}, "LOST: part 1048576-"},
		{"a part with other bytes", func(l *ledger, a *archive, u *upload) {
			u.parts[0].acked = &a.payload
		}, "never sent"},
		{"an upload that is not there", func(l *ledger, a *archive, u *upload) {
			l.uploads["none"] = &upload{id: "none", vault: u.vault, sizes: u.sizes, parts: make([]part, 2)}
		}, "LOST: upload none"},
		{"a job that is not there", func(l *ledger, a *archive, _ *upload) {
			l.jobs = append(l.jobs, job{"none", a.vault, a.id})
		}, "job none"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l, v := smallLedger(t)
			var a *archive
			var u *upload
			for _, a = range l.archives {
			}
			for _, u = range l.uploads {
			}
			row.lie(l, a, u)
			v.run(t)
			got := strings.Join(l.faults, "\n")
			if row.want == "" && got != "" || !strings.Contains(got, row.want) {
				t.Errorf("faults: got %q, want %q among them", got, row.want)
			}
		})
	}
}

// smallLedger makes a server with one archive and one upload, and the ledger
// that describes it.
func smallLedger(t *testing.T) (*ledger, *verifier) {
	t.Helper()
	s := start(t, filepath.Join(t.TempDir(), "data"))
	c := connect(s)
	defer c.Close()
	for _, vault := range vaults {
		if err := c.CreateVault(t.Context(), vault); err != nil {
			t.Fatal(err)
		}
	}
	l := newLedger(1)
	r := rand.New(rand.NewPCG(1, 1))
	a := &archive{vault: vaults[0], description: "one", payload: l.payload(r, 5000)}
	u := &upload{vault: vaults[0], description: "two", sizes: []int64{partSize, 10}, parts: make([]part, 2)}
	var err error
	if a.id, err = c.UploadArchive(t.Context(), a.vault, a.description, a.payload); err != nil {
		t.Fatal(err)
	}
	if u.id, err = c.InitiateUpload(t.Context(), u.vault, u.description, partSize); err != nil {
		t.Fatal(err)
	}
	p := l.payload(r, partSize)
	if err := c.UploadPart(t.Context(), u.vault, u.id, 0, p); err != nil {
		t.Fatal(err)
	}
	u.parts[0].acked = &p
	l.archives[a.id], l.uploads[u.id] = a, u
	return l, &verifier{l: l, client: func() *vaultclient.Client { return connect(s) }, r: r, all: true}
}
