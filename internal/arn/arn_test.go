package arn_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/arn"
)

func name(partition, service, region, account, resource string) arn.ARN {
	return arn.ARN{Partition: partition, Service: service, Region: region, Account: account, Resource: resource}
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   string
		want arn.ARN
		err  error
	}{
		{"vault", "arn:aws:glacier:eu-north-1:210987654321:vaults/ledger-2024", name("aws", "glacier", "eu-north-1", "210987654321", "vaults/ledger-2024"), nil},
		{"root", "arn:aws:iam::210987654321:root", name("aws", "iam", "", "210987654321", "root"), nil},
		{"colons in the resource", "arn:aws:sns:eu-north-1:210987654321:a:b/c:", name("aws", "sns", "eu-north-1", "210987654321", "a:b/c:"), nil},
		{"no region or account", "arn:aws:s3:::bucket/*", name("aws", "s3", "", "", "bucket/*"), nil},
		{"wildcards", "arn:*:*:*:*:*", name("*", "*", "*", "*", "*"), nil},
		{"empty", "", arn.ARN{}, arn.ErrPrefix},
		{"star", "*", arn.ARN{}, arn.ErrPrefix},
		{"upper case", "ARN:aws:iam::210987654321:root", arn.ARN{}, arn.ErrPrefix},
		{"leading space", " arn:aws:iam::210987654321:root", arn.ARN{}, arn.ErrPrefix},
		{"five parts", "arn:aws:iam:210987654321:root", arn.ARN{}, arn.ErrParts},
		{"prefix only", "arn:", arn.ARN{}, arn.ErrParts},
		{"no partition", "arn::iam::210987654321:root", arn.ARN{}, arn.ErrEmpty},
		{"no service", "arn:aws:::210987654321:root", arn.ARN{}, arn.ErrEmpty},
		{"no resource", "arn:aws:iam::210987654321:", arn.ARN{}, arn.ErrEmpty},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := arn.Parse(tt.in)
			if !errors.Is(err, tt.err) {
				t.Fatalf("Parse(%q) = %v, want error %v", tt.in, err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.in, diff)
			}
			if err == nil && got.String() != tt.in {
				t.Errorf("Parse(%q) prints %q", tt.in, got)
			}
		})
	}
}

func TestMakers(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, got, want string }{
		{"Vault", arn.Vault("eu-north-1", "210987654321", "ledger-2024"), "arn:aws:glacier:eu-north-1:210987654321:vaults/ledger-2024"},
		{"Vaults", arn.Vaults("eu-north-1", "210987654321"), "arn:aws:glacier:eu-north-1:210987654321:vaults/"},
		{"Root", arn.Root("210987654321"), "arn:aws:iam::210987654321:root"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s = %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("arn:aws:glacier:eu-north-1:210987654321:vaults/ledger-2024")
	f.Add("arn:aws:sns:eu-north-1:210987654321:a:b")
	f.Add("arn:::::")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := arn.Parse(s)
		if err != nil {
			return
		}
		if a.String() != s {
			t.Fatalf("Parse(%q) prints %q", s, a)
		}
		again, err := arn.Parse(a.String())
		if err != nil || again != a {
			t.Fatalf("Parse(%q) = %#v, %v, want %#v", a, again, err, a)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		arn.Parse("arn:aws:glacier:eu-north-1:210987654321:vaults/ledger-2024")
	}
}
