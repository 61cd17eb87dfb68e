package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"moraine/internal/arn"
)

// Encryption says which masters wrap the keys of encrypted archives.
type Encryption struct {
	Master        // wraps and unwraps; if it is off, new archives are not encrypted
	Old    Master // only unwraps
}

// Master names one master. The zero value is off.
type Master struct {
	KeyFile string

	KMSKey      string // ARN
	KMSEndpoint string // URL; "" for that of AWS

	VaultAddr      string // URL
	VaultKey       string // as it was given: name, or mount/name
	VaultTokenFile string
	VaultNamespace string
	VaultCAFile    string // "" for the certificates of the system
}

// On reports whether a master is named.
func (m *Master) On() bool { return m.KeyFile != "" || m.KMSKey != "" || m.VaultAddr != "" }

// KMSRegion is the region of the key of KMS.
func (m *Master) KMSRegion() string {
	name, err := arn.Parse(m.KMSKey)
	if err != nil {
		return ""
	}
	return name.Region
}

// vaultMount is where Vault has the transit engine unless something else is
// said.
const vaultMount = "transit"

// VaultPath is the path of the engine and the name of the key.
func (m *Master) VaultPath() (mount, key string) {
	if i := strings.LastIndexByte(m.VaultKey, '/'); i >= 0 {
		return m.VaultKey[:i], m.VaultKey[i+1:]
	}
	return vaultMount, m.VaultKey
}

// EncryptionPrefix begins the keys of the settings of both masters.
const EncryptionPrefix = "encryption."

const oldPrefix = EncryptionPrefix + "old."

func encryptionSettings() []Setting {
	group := []Setting{
		text(EncryptionPrefix+"key_file", "", "file",
			"Encrypt archives under the keys of this file, which moraine encryption new-key makes: base64 of 32 bytes, one per line, the first one wraps and each opens. Keep copies of it, none of them beside the data: without it no encrypted archive can be read. One of key_file, kms_key and vault_addr turns encryption on.",
			func(c *Config) *string { return &c.Encryption.KeyFile }),
		text(EncryptionPrefix+"kms_key", "", "ARN of a key",
			"Encrypt archives under this key of AWS KMS, with the credentials that the AWS SDK finds. It needs kms:Encrypt and kms:Decrypt. The ARN is that of a key, not of an alias, which may come to mean another key.",
			func(c *Config) *string { return &c.Encryption.KMSKey }),
		text(EncryptionPrefix+"kms_endpoint", "", "URL", "Where KMS is asked. Without it that of AWS for the region of the key.",
			func(c *Config) *string { return &c.Encryption.KMSEndpoint }),
		text(EncryptionPrefix+"vault_addr", "", "URL",
			"Encrypt archives under a key of the transit engine of HashiCorp Vault at this address. Goes with vault_key and vault_token_file.",
			func(c *Config) *string { return &c.Encryption.VaultAddr }),
		text(EncryptionPrefix+"vault_key", "", "name or mount/name", "Name of the key, with the mount of the engine if that is not transit.",
			func(c *Config) *string { return &c.Encryption.VaultKey }),
		text(EncryptionPrefix+"vault_token_file", "", "file",
			"File with a token that may update encrypt/NAME and decrypt/NAME of the engine. It is read at each request, so that an agent can renew it.",
			func(c *Config) *string { return &c.Encryption.VaultTokenFile }),
		text(EncryptionPrefix+"vault_namespace", "", "namespace", "Namespace of the engine.",
			func(c *Config) *string { return &c.Encryption.VaultNamespace }),
		text(EncryptionPrefix+"vault_ca_file", "", "file", "Certificates that Vault's is verified with, PEM. Without it those of the system.",
			func(c *Config) *string { return &c.Encryption.VaultCAFile }),
	}
	// The same once more for the old master. Its field is reached by the same
	// function, through a Config that has the two masters change places.
	for _, s := range group[:len(group):len(group)] {
		old := s
		old.Key = oldPrefix + strings.TrimPrefix(s.Key, EncryptionPrefix)
		old.Doc = "The same of the master that is being left."
		if old.Key == oldPrefix+"key_file" {
			old.Doc = "The old master, in the same words as the new one: it opens what it wrapped and wraps nothing. Set it when another master takes its place, until moraine encryption rewrap is done; or alone, to encrypt no more and still read."
		}
		old.set = func(c *Config, v string) error {
			swapped := Config{Encryption: Encryption{Master: c.Encryption.Old}}
			err := s.set(&swapped, v)
			c.Encryption.Old = swapped.Encryption.Master
			return err
		}
		old.get = func(c *Config) string { return s.get(&Config{Encryption: Encryption{Master: c.Encryption.Old}}) }
		group = append(group, old)
	}
	return group
}

func (c *Config) checkEncryption() error {
	return errors.Join(c.Encryption.check(EncryptionPrefix), c.Encryption.Old.check(oldPrefix))
}

// check reports what is wrong with a master, whose settings have a prefix.
func (m *Master) check(prefix string) error {
	named := 0
	for _, v := range []string{m.KeyFile, m.KMSKey, m.VaultAddr} {
		if v != "" {
			named++
		}
	}
	switch {
	case named > 1:
		return fmt.Errorf("%skey_file, kms_key and vault_addr exclude each other; name one master, and the one it replaces under %s", prefix, oldPrefix)
	case m.KMSKey == "" && m.KMSEndpoint != "":
		return fmt.Errorf("%skms_endpoint goes with kms_key; set both, or neither", prefix)
	case m.VaultAddr == "" && (m.VaultKey != "" || m.VaultTokenFile != "" || m.VaultNamespace != "" || m.VaultCAFile != ""):
		return fmt.Errorf("%svault_key and the other settings of Vault go with vault_addr; set it, or none of them", prefix)
	case m.KMSKey != "":
		return m.checkKMS(prefix)
	case m.VaultAddr != "":
		return m.checkVault(prefix)
	}
	return nil
}

func (m *Master) checkKMS(prefix string) error {
	name, err := arn.Parse(m.KMSKey)
	if err != nil || name.Service != "kms" || name.Region == "" || !strings.HasPrefix(name.Resource, "key/") {
		return fmt.Errorf("%skms_key is %q; give the ARN of a key, as in arn:aws:kms:eu-north-1:210987654321:key/ID", prefix, m.KMSKey)
	}
	if m.KMSEndpoint == "" {
		return nil
	}
	return checkService(prefix+"kms_endpoint", m.KMSEndpoint)
}

// vaultPath is what an engine, a key or a namespace may be called: names with
// slashes between them.
var vaultPath = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)

func (m *Master) checkVault(prefix string) error {
	switch {
	case m.VaultKey == "" || m.VaultTokenFile == "":
		return fmt.Errorf("%svault_addr goes with vault_key and vault_token_file; set all three", prefix)
	case !vaultPath.MatchString(m.VaultKey):
		return fmt.Errorf("%svault_key is %q; give the name of a key, as in moraine, or with its mount, as in transit/moraine", prefix, m.VaultKey)
	case m.VaultNamespace != "" && !vaultPath.MatchString(m.VaultNamespace):
		return fmt.Errorf("%svault_namespace is %q; give names with slashes between them", prefix, m.VaultNamespace)
	}
	return checkService(prefix+"vault_addr", m.VaultAddr)
}

// checkService makes sure that keys do not travel in the clear.
func checkService(key, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("%s is not a URL of a host and nothing else; write it as in https://kms.example:8200", key)
	}
	host := u.Host
	if u.Port() == "" {
		host += ":0"
	}
	loopback, err := IsLoopback(host)
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback && err == nil) {
		return fmt.Errorf("%s is %s; keys travel there, so it must begin with https:// unless it is on the loopback interface", key, address)
	}
	return nil
}
