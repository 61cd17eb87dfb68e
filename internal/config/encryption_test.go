package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/config"
)

const kmsKey = "arn:aws:kms:eu-north-1:210987654321:key/1234abcd-12ab-34cd-56ef-1234567890ab"

func TestEncryption(t *testing.T) {
	t.Parallel()
	got, err := load(t, []string{"--encryption-old-kms-key=" + kmsKey}, []string{"MORAINE_ENCRYPTION_OLD_KMS_ENDPOINT=https://kms.example"}, `
encryption:
  vault_addr: https://vault.example:8200
  vault_key: team/transit/archives
  vault_token_file: token
`)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Encryption{
		Master: config.Master{VaultAddr: "https://vault.example:8200", VaultKey: "team/transit/archives", VaultTokenFile: "token"},
		Old:    config.Master{KMSKey: kmsKey, KMSEndpoint: "https://kms.example"},
	}
	if diff := cmp.Diff(want, got.Encryption); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	mount, key := got.Encryption.VaultPath()
	if mount != "team/transit" || key != "archives" || got.Encryption.Old.KMSRegion() != "eu-north-1" {
		t.Errorf("mount %s, key %s, region %s", mount, key, got.Encryption.Old.KMSRegion())
	}
	if mount, key := (&config.Master{VaultKey: "archives"}).VaultPath(); mount != "transit" || key != "archives" {
		t.Errorf("mount %s, key %s by default", mount, key)
	}
	if !got.Encryption.On() || !got.Encryption.Old.On() || len(got.Warnings()) != 0 {
		t.Errorf("on: %v, %v, warnings %q", got.Encryption.On(), got.Encryption.Old.On(), got.Warnings())
	}
	// What is printed gives the same again.
	again, err := load(t, nil, nil, got.Print())
	if diff := cmp.Diff(want, again.Encryption); err != nil || diff != "" {
		t.Errorf("printed and read again: %v\n%s", err, diff)
	}
	off, err := load(t, []string{"--encryption-old-key-file=k"}, nil, "")
	if err != nil || len(off.Warnings()) != 1 || off.Encryption.On() {
		t.Errorf("an old master alone: %v, warnings %q", err, off.Warnings())
	}
	local, err := load(t, []string{"--encryption-vault-addr=http://127.0.0.1:8200", "--encryption-vault-key=k", "--encryption-vault-token-file=t"}, nil, "")
	if err != nil || !local.Encryption.On() {
		t.Errorf("Vault on loopback: %v", err)
	}
}

func TestEncryptionFaults(t *testing.T) {
	t.Parallel()
	vault := func(args ...string) []string {
		return append([]string{"--encryption-vault-addr=https://v", "--encryption-vault-key=k", "--encryption-vault-token-file=t"}, args...)
	}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"two masters", []string{"--encryption-key-file=k", "--encryption-kms-key=" + kmsKey}, "exclude each other"},
		{"two old masters", []string{"--encryption-old-key-file=k", "--encryption-old-vault-addr=https://v"}, "encryption.old.key_file, kms_key and vault_addr exclude each other"},
		{"an alias", []string{"--encryption-kms-key=arn:aws:kms:eu-north-1:210987654321:alias/moraine"}, "give the ARN of a key"},
		{"no ARN", []string{"--encryption-kms-key=1234abcd"}, "give the ARN of a key"},
		{"no region", []string{"--encryption-kms-key=arn:aws:kms::210987654321:key/x"}, "give the ARN of a key"},
		{"another service", []string{"--encryption-kms-key=arn:aws:sns:eu-north-1:210987654321:key/x"}, "give the ARN of a key"},
		{"an endpoint alone", []string{"--encryption-kms-endpoint=https://k"}, "goes with kms_key"},
		{"an endpoint in the clear", []string{"--encryption-kms-key=" + kmsKey, "--encryption-kms-endpoint=http://kms.example"}, "must begin with https://"},
		{"a key of Vault alone", []string{"--encryption-vault-key=k"}, "go with vault_addr"},
		{"no token", []string{"--encryption-vault-addr=https://v", "--encryption-vault-key=k"}, "set all three"},
		{"Vault in the clear", vault("--encryption-vault-addr=http://10.0.0.1:8200"), "must begin with https://"},
		{"Vault by another scheme", vault("--encryption-vault-addr=ftp://127.0.0.1"), "must begin with https://"},
		{"an address with a path", vault("--encryption-vault-addr=https://v/v1"), "of a host and nothing else"},
		{"an address with a user", vault("--encryption-vault-addr=https://me@v"), "of a host and nothing else"},
		{"a key that climbs", vault("--encryption-vault-key=transit/../sys"), "give the name of a key"},
		{"a key with a query", vault("--encryption-vault-key=k?x"), "give the name of a key"},
		{"an odd namespace", vault("--encryption-vault-namespace=a//b"), "vault_namespace"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t, tc.args, nil, ""); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}
