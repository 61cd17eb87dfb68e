package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"moraine/internal/blobkeys"
	"moraine/internal/blobkeys/keyfile"
	"moraine/internal/blobkeys/kms"
	"moraine/internal/blobkeys/transit"
	"moraine/internal/config"
	"moraine/internal/disk"
	"moraine/internal/seal"
)

// openMaster makes the master that settings name.
func openMaster(ctx context.Context, m *config.Master, name string) (blobkeys.Master, error) {
	switch {
	case m.KMSKey != "":
		master, err := kms.Open(ctx, kms.Config{Key: m.KMSKey, Region: m.KMSRegion(), Endpoint: m.KMSEndpoint})
		if err != nil {
			return nil, fmt.Errorf("%s.kms_key: read the settings of the AWS SDK: %w", name, err)
		}
		return master, nil
	case m.VaultAddr != "":
		return openTransit(m, name)
	}
	text, err := Place{}.readSmall(m.KeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s.key_file: %w; restore it from where you keep copies of it, or if nothing is encrypted yet make it with moraine encryption new-key", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.key_file: %w", name, err)
	}
	ring, err := seal.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s.key_file: %s: %w", name, m.KeyFile, err)
	}
	return keyfile.New(ring), nil
}

// openTransit makes a master that asks Vault. How long it may take is for the
// one who asks to say.
func openTransit(m *config.Master, name string) (blobkeys.Master, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	if m.VaultCAFile != "" {
		text, err := Place{}.readSmall(m.VaultCAFile)
		if err != nil {
			return nil, fmt.Errorf("%s.vault_ca_file: %w", name, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s.vault_ca_file: %s holds no certificate in PEM", name, m.VaultCAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	mount, key := m.VaultPath()
	return transit.New(transit.Config{
		Address: m.VaultAddr, Mount: mount, Key: key, Namespace: m.VaultNamespace,
		Token: func() (string, error) {
			text, err := Place{}.readSmall(m.VaultTokenFile)
			return strings.TrimSpace(string(text)), err
		},
		Client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}), nil
}

// keyFileWarnings says what is careless about a key file, "" for none.
func (d *data) keyFileWarnings(name string) (all []string) {
	if name == "" {
		return nil
	}
	if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
		all = append(all, fmt.Sprintf("others may read %s; run chmod 600 on it", name))
	}
	abs, err := filepath.Abs(name)
	if err == nil && strings.HasPrefix(abs, d.dir+string(filepath.Separator)) {
		all = append(all, fmt.Sprintf("%s lies in the data directory: whoever takes the disk takes the key as well; keep it elsewhere", name))
	}
	return all
}

// NewKeyFile makes a key file with one new key, readable by its owner alone. It
// never replaces a file.
func NewKeyFile(name string) error {
	err := disk.CreateFile(disk.NewOS(), name, []byte(seal.Generate(keyfile.Comment)))
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("there is something at %s already, and a key file is never replaced", name)
	}
	return err
}
