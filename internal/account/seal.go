package account

import (
	"moraine"
	"moraine/internal/seal"
)

// GenerateMaster makes the text of a file with one new master key.
func GenerateMaster() string {
	return seal.Generate("Moraine's master keys: base64, one per line. The first one seals, each opens.\n" +
		"Without them no access key works. Keep a copy away from the database.")
}

// open decrypts what was sealed for a name. The error is of kind Corrupt.
func open(k *seal.Keyring, sealed []byte, name string) ([]byte, error) {
	plain, err := k.Open(sealed, name)
	if err != nil {
		return nil, moraine.Wrap(err, moraine.Corrupt, "a sealed text of %s cannot be opened with the master keys", name)
	}
	return plain, nil
}
