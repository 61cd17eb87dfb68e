package wire_test

import (
	"testing"

	"moraine/test/internal/wire"
)

// TestVectors checks the signer against access-control §1.15.
func TestVectors(t *testing.T) {
	t.Parallel()
	const m64 = "ffc6f8fc77e7410a90b56b39088426035427c28485d27f93dc7e659f61beae92"
	for _, row := range []struct {
		name, method, target, stamp string
		fields                      []wire.Field
		body                        string
		canonical, signature        string
	}{
		{
			name: "G1", method: "PUT", target: "/-/vaults/examplevault", stamp: "20120525T002453Z",
			canonical: "5f1da1a2d0feb614dd03d71e87928b8e449ac87614479332aced3a701f916743",
			signature: "3ce5b2f2fffac9262b4da9256f8d086b4aaf42eba5f111c21681a65a127b7c2a",
		},
		{
			name: "G2", method: "POST", target: "/-/vaults/examplevault/archives", stamp: "20120507T000000Z",
			fields:    []wire.Field{{Name: "x-amz-content-sha256", Value: "726e392cb4d09924dbad1cc0ba3b00c3643d03d14cb4b823e2f041cff612a628"}},
			canonical: "f3df090abf5698dbe2230b41165a7b8991f9616ef67de13ac283577a02732819",
			signature: "b092397439375d59119072764a1e9a144677c43d9906fd98a5742c57a2855de6",
		},
		{
			name: "G4", method: "GET", stamp: "20240315T120000Z",
			target:    "/-/vaults?limit=10&marker=arn%3Aaws%3Aglacier%3Aus-east-1%3A123456789012%3Avaults%2Fa%20b%2Bc",
			canonical: "e6f97febfb77f425011118d216933e57f7846e82388e75414a85ffb1b9b7ea83",
			signature: "63abeaed74387262f2c1fd53271bb5f5ab3c306ab62151a570d1f63c237648ad",
		},
		{
			name: "G5", method: "POST", target: "/-/vaults/photos.2024/archives", stamp: "20240315T120000Z",
			fields: []wire.Field{
				{Name: "x-amz-archive-description", Value: "two  spaces and   three "},
				{Name: "x-amz-content-sha256", Value: m64},
				{Name: "x-amz-sha256-tree-hash", Value: m64},
			},
			canonical: "7ee107ec20d140a3d9be3ee533f094b7ea23358a7bcb644fe87f79d220af2e77",
			signature: "eb08285e8520b989cc61fe10fdcff9a01dd575380f7b3281cf3455c91953538f",
		},
		{
			name: "G7", method: "GET", target: "/-/vaults/my%20vault~%C3%A9%252F", stamp: "20240315T120000Z",
			canonical: "8f883e121a6d01f167d37d20b1806827190d22ba1a155954530406578554139b",
			signature: "59f1d7c3f5fa339a83cd77a6cde577cb6cd42897ca4212cda7adbcf5bb2ba8d6",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := &wire.Credentials{KeyID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1"}
			r := &wire.Request{Method: row.method, Target: row.target, Fields: row.fields}
			r.Set("Host", "glacier.us-east-1.amazonaws.com")
			r.Set("x-amz-date", row.stamp)
			r.Set("x-amz-glacier-version", "2012-06-01")
			got := c.Make(r, wire.Signing{Stamp: row.stamp})
			if got.CanonicalHash != row.canonical {
				t.Errorf("canonical request: got %s, want %s", got.CanonicalHash, row.canonical)
			}
			if got.Signature != row.signature {
				t.Errorf("signature: got %s, want %s", got.Signature, row.signature)
			}
		})
	}
}
