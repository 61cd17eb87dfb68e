package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/disk"
	"moraine/internal/meta"
	"moraine/internal/seal"
	"moraine/internal/sigv4"
)

// profile is the section of the credentials file that holds the root identity.
const profile = "moraine"

// identity is the root identity of a server and where it came from.
type identity struct {
	root     account.Root
	fromFile bool // the key is in the credentials file
	keyring  *seal.Keyring
	warnings []string
}

// settle finds the root identity: what the operator gave, else what the
// directory holds, else a new one, which it then holds.
func (d *data) settle(given account.Root) (identity, error) {
	fresh := account.Generate()
	id := identity{root: given, fromFile: given.KeyID == ""}
	var err error
	if id.root.Account, err = d.settleAccount(given.Account, fresh); err != nil {
		return id, err
	}
	if id.fromFile {
		id.root.KeyID, id.root.Secret, id.warnings, err = d.settleKey(id.root.Account, fresh)
		if err != nil {
			return id, err
		}
	}
	if err := id.root.Validate(); err != nil {
		return id, fmt.Errorf("root identity: %w", err)
	}
	return id, nil
}

// settleMaster reads the master keys, from the file the operator names or from
// the data directory, where they are made at the first start.
func (d *data) settleMaster(ctx context.Context, rows meta.Store, given string) (*seal.Keyring, []string, error) {
	path := given
	if path == "" {
		path = d.path(masterKeyFile)
	}
	text, err := d.place.readSmall(path)
	if errors.Is(err, fs.ErrNotExist) && given == "" {
		// With secrets in the rows a new key would only hide the loss of the old.
		sealed, lookErr := account.Sealed(ctx, rows)
		if lookErr != nil {
			return nil, nil, lookErr
		}
		if !sealed {
			text = []byte(account.GenerateMaster())
			err = d.write(masterKeyFile, string(text))
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the master keys are needed to read the access keys of the database; restore the file, or name it with MORAINE_MASTER_KEY_FILE: %w", err)
	}
	keyring, err := seal.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	var warnings []string
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		warnings = append(warnings, fmt.Sprintf("others may read %s; run chmod 600 on it", path))
	}
	return keyring, warnings, nil
}

// settleAccount returns the account the directory belongs to, which is decided
// once.
func (d *data) settleAccount(given moraine.AccountID, fresh account.Root) (moraine.AccountID, error) {
	text, err := d.place.readSmall(d.path(accountFile))
	kept := moraine.AccountID(strings.TrimSpace(string(text)))
	switch {
	case err == nil && given != "" && given != kept:
		return "", fmt.Errorf("the data directory %s belongs to account %s and cannot change to %s; correct account_id, or name another directory", d.dir, kept, given)
	case err == nil:
		return kept, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read the account id: %w", err)
	case d.used && given == "":
		return "", fmt.Errorf("%s is missing although the data directory is in use; set account_id to the account that owns it", d.path(accountFile))
	case given == "":
		given = fresh.Account
	}
	fresh.Account = given
	if err := fresh.Validate(); err != nil {
		return "", err
	}
	return given, d.write(accountFile, string(given)+"\n")
}

// settleKey returns the key of the credentials file, made if there is none.
func (d *data) settleKey(owner moraine.AccountID, fresh account.Root) (string, sigv4.Secret, []string, error) {
	path := d.path(credentialsFile)
	text, err := d.place.readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh.KeyID, fresh.Secret, nil, d.write(credentialsFile, formatCredentials(owner, fresh))
	}
	if err != nil {
		return "", nil, nil, fmt.Errorf("read the root credentials: %w", err)
	}
	keyID, secret, err := parseCredentials(text)
	if err != nil {
		return "", nil, nil, fmt.Errorf("%s: %w; restore it, set MORAINE_ROOT_ACCESS_KEY_ID and MORAINE_ROOT_SECRET_ACCESS_KEY, or remove it to have a new key generated", path, err)
	}
	var warnings []string
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		warnings = append(warnings, fmt.Sprintf("others may read %s; run chmod 600 on it", path))
	}
	return keyID, secret, warnings, nil
}

func (d *data) write(name, text string) error {
	if err := disk.WriteFile(d.fsys, d.path(name), []byte(text)); err != nil {
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	return nil
}

func formatCredentials(owner moraine.AccountID, root account.Root) string {
	return fmt.Sprintf("# The root identity of account %s, generated at the first start.\n"+
		"[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		owner, profile, root.KeyID, string(root.Secret))
}

// parseCredentials reads the key of our profile. No error repeats what the
// file says.
func parseCredentials(text []byte) (keyID string, secret sigv4.Secret, err error) {
	section := ""
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSpace(strings.TrimSuffix(name, "]"))
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section != profile || strings.HasPrefix(line, "#") {
			continue
		}
		switch strings.TrimSpace(key) {
		case "aws_access_key_id":
			keyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			secret = sigv4.Secret(strings.TrimSpace(value))
		}
	}
	if keyID == "" || len(secret) == 0 {
		return "", nil, fmt.Errorf("there is no profile %s with aws_access_key_id and aws_secret_access_key", profile)
	}
	return keyID, secret, nil
}

// ReadKey returns the root key that the credentials file of a data directory
// holds. A server may be using the directory.
func ReadKey(dir string) (sigv4.Key, error) {
	path := filepath.Join(dir, credentialsFile)
	text, err := Place{}.readSmall(path)
	if err != nil {
		return sigv4.Key{}, err
	}
	keyID, secret, err := parseCredentials(text)
	if err != nil {
		return sigv4.Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return sigv4.Key{ID: keyID, Secret: secret}, nil
}
