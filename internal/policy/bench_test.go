package policy_test

import (
	"testing"

	"moraine/internal/policy"
)

// BenchmarkEvaluate runs requests against ten statements or so; the budget is
// 10 µs (access-control §5.2).
func BenchmarkEvaluate(b *testing.B) {
	c := callers(b)["dave"]
	c.policies.Access = vaultPolicy(b, "AP13", policy.AccessPolicy, v1)
	c.policies.Lock = vaultPolicy(b, "W3", policy.LockPolicy, v1)
	own := callers(b)["gina"].policies.Identity
	c.policies.Identity = append(c.policies.Identity, own[0], callers(b)["carol"].policies.Identity[0])
	values := map[string]string{"glacier:ArchiveAgeInDays": "400", "glacier:ResourceTag/LegalHold": "no"}
	for _, action := range []string{"UploadArchive", "DeleteArchive", "AddTagsToVault"} {
		b.Run(action, func(b *testing.B) {
			r := request(c.principal, action, v1, values)
			b.ReportAllocs()
			for b.Loop() {
				policy.Evaluate(r, &c.policies)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(vaultPolicies()["W3"])
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
