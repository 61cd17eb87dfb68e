package access

import (
	"encoding/json"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Bind makes a policy for a vault of a document and its text, with the unique
// ids that the principals it names have now (access-control §2.1). A principal
// that should exist and does not is a *policy.Error.
func Bind(tx meta.Tx, doc *policy.Document, text string) (moraine.VaultPolicy, error) {
	bindings, err := policy.Bind(doc, Names(tx))
	if err != nil {
		return moraine.VaultPolicy{}, err
	}
	encoded, err := json.Marshal(bindings)
	return moraine.VaultPolicy{Text: text, Principals: string(encoded)}, err
}
