package audit_test

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"moraine/internal/access"
	"moraine/internal/audit"
	"moraine/internal/disk"
)

var alice = access.Principal{Account: "111111111111", ARN: "arn:aws:iam::111111111111:user/alice", ID: "AIDAEXAMPLEALICE11111"}

// upload is the record of an upload, from the parts a surface has.
func upload() *audit.Record {
	r := audit.NewRecord()
	r.EventSource, r.EventName, r.APIVersion = "glacier.amazonaws.com", "UploadArchive", "2012-06-01"
	r.SourceIPAddress, r.UserAgent = "198.51.100.7", "aws-cli/2.15.30 Python/3.11.8 Linux/6.5.0 exe/x86_64"
	r.RequestID = "AAAAxEXAMPLExEXAMPLExEXAMPLExEXAMPLExEXAMPLExEXA"
	r.UserIdentity, r.Region, r.RecipientAccountID = audit.IdentityOf(&alice, "AKIAIOSFODNN7EXAMPLE"), "us-east-1", "111111111111"
	r.Resource = audit.Resource{
		ARN: "arn:aws:glacier:us-east-1:111111111111:vaults/examplevault", AccountID: "111111111111", Type: "AWS::Glacier::Vault",
	}
	p := &r.RequestParameters
	p.Text("accountId", "-")
	p.Text("vaultName", "examplevault")
	p.Text("checksum", zeros)
	p.Text("archiveDescription", "a description")
	d := &r.AdditionalEventData
	d.Number("bytesIn", 4096)
	d.Number("bytesOut", 0)
	d.Number("durationMs", 12)
	d.Text("signedHeaders", strings.Join(signed, ";"))
	e := &r.ResponseElements
	e.Text("location", location)
	e.Text("checksum", zeros)
	e.Text("archiveId", archiveID)
	return r
}

var (
	zeros     = strings.Repeat("0", 64)
	archiveID = strings.Repeat("a", 138)
	location  = "/111111111111/vaults/examplevault/archives/" + archiveID
	signed    = []string{
		"host", "x-amz-archive-description", "x-amz-content-sha256", "x-amz-date", "x-amz-glacier-version", "x-amz-sha256-tree-hash",
	}
)

// BenchmarkRecord is one record of an upload from its parts to its line,
// without a disk.
func BenchmarkRecord(b *testing.B) {
	l, err := audit.Open(audit.Config{Out: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	report := cpu(b)
	for b.Loop() {
		if err := l.Append(upload(), ""); err != nil {
			b.Fatal(err)
		}
	}
	report()
}

// BenchmarkAppend is durable records of so many callers at once.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			fsys := disk.NewOS()
			l, err := audit.Open(audit.Config{FS: fsys, Dir: filepath.Join(b.TempDir(), "audit")})
			if err != nil {
				b.Fatal(err)
			}
			before := fsys.Syncs()
			work := make(chan struct{})
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for range work {
						if err := l.Append(upload(), ""); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportAllocs()
			report := cpu(b)
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			all.Wait()
			report()
			b.ReportMetric(float64(fsys.Syncs()-before)/float64(b.N), "syncs/op")
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
