package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Entity is a user, group or role. It is stored as the JSON document of its
// row. Format: the names of the members never change.
type Entity struct {
	ID      string               `json:"-"`
	Account moraine.AccountID    `json:"-"`
	Kind    moraine.IdentityKind `json:"-"`
	ARN     string               `json:"-"`

	Name     string          `json:"name"`
	Path     string          `json:"path"`
	Created  time.Time       `json:"created"`
	Tags     []moraine.Tag   `json:"tags,omitempty"`
	Inline   []InlinePolicy  `json:"inline,omitempty"`   // in order of name
	Attached []string        `json:"attached,omitempty"` // ARNs of managed policies, in order
	Boundary string          `json:"boundary,omitempty"` // ARN of a managed policy
	Groups   []string        `json:"groups,omitempty"`   // of a user: ids of its groups
	Members  int             `json:"members,omitempty"`  // of a group: how many users
	Role     *RoleProperties `json:"role,omitempty"`     // of a role, else nil
}

// RoleProperties are what only roles have.
type RoleProperties struct {
	Trust       string          `json:"trust"` // byte for byte as it was set
	Bindings    policy.Bindings `json:"bindings,omitempty"`
	Description string          `json:"description,omitempty"`
	SessionMax  int64           `json:"session_max"` // seconds
	// RevokeBefore ends the sessions that began before it: seconds since 1970,
	// 0 for none.
	RevokeBefore int64 `json:"revoke_before,omitempty"`
	// Revocations ends the sessions that began before the last of so many,
	// whatever the clocks of the servers said that began and ended them.
	Revocations int64 `json:"revocations,omitempty"`
}

// begin is when a session of the role begins that is asked for now. One asked
// for in the second of a revocation begins at the end of that second.
func (p *RoleProperties) begin(now time.Time) time.Time {
	return time.Unix(max(now.Unix(), p.RevokeBefore), 0).UTC()
}

// InlinePolicy is a policy that belongs to one entity.
type InlinePolicy struct {
	Name string `json:"name"`
	Text string `json:"text"` // byte for byte as it was set
}

// Managed is a managed policy, stored like an Entity.
type Managed struct {
	ID      string            `json:"-"`
	Account moraine.AccountID `json:"-"`
	ARN     string            `json:"-"`

	Name        string        `json:"name"`
	Path        string        `json:"path"`
	Description string        `json:"description,omitempty"`
	Created     time.Time     `json:"created"`
	Updated     time.Time     `json:"updated"`
	Tags        []moraine.Tag `json:"tags,omitempty"`
	Versions    []Version     `json:"versions"` // oldest first
	Default     int           `json:"default"`  // number of the version in force
	Last        int           `json:"last"`     // greatest number ever given
	Attached    int           `json:"attached,omitempty"`
	Boundaries  int           `json:"boundaries,omitempty"`
}

// Version is one text of a managed policy.
type Version struct {
	Number  int       `json:"number"`
	Text    string    `json:"text"` // byte for byte as it was set
	Created time.Time `json:"created"`
}

// ID is "v1", "v2" and so on.
func (v *Version) ID() string { return fmt.Sprintf("v%d", v.Number) }

// version returns the version with that number, nil if there is none.
func (m *Managed) version(number int) *Version {
	i := slices.IndexFunc(m.Versions, func(v Version) bool { return v.Number == number })
	if i < 0 {
		return nil
	}
	return &m.Versions[i]
}

// Text is the text of the version in force, "" if that is missing.
func (m *Managed) Text() string {
	if v := m.version(m.Default); v != nil {
		return v.Text
	}
	return ""
}

// entityARN is the ARN of an entity or managed policy.
func entityARN(a moraine.AccountID, kind moraine.IdentityKind, path, name string) string {
	return "arn:aws:iam::" + string(a) + ":" + string(kind) + path + name
}

func rootARN(a moraine.AccountID) string { return "arn:aws:iam::" + string(a) + ":root" }

// row makes the row of an entity.
func (e *Entity) row() (moraine.Identity, error) {
	document, err := json.Marshal(e)
	return moraine.Identity{
		ID: e.ID, Account: e.Account, Kind: e.Kind, Name: strings.ToLower(e.Name), ARN: e.ARN, Document: document,
	}, err
}

func (m *Managed) row() (moraine.Identity, error) {
	document, err := json.Marshal(m)
	return moraine.Identity{
		ID: m.ID, Account: m.Account, Kind: moraine.PolicyIdentity, Name: strings.ToLower(m.Name), ARN: m.ARN, Document: document,
	}, err
}

func readEntity(row moraine.Identity) (*Entity, error) {
	e := new(Entity)
	err := json.Unmarshal(row.Document, e)
	if err != nil || row.Kind == moraine.RoleIdentity && e.Role == nil {
		return nil, moraine.Wrap(err, moraine.Corrupt, "the record of %s is damaged", row.ARN)
	}
	e.ID, e.Account, e.Kind, e.ARN = row.ID, row.Account, row.Kind, row.ARN
	return e, nil
}

func readManaged(row moraine.Identity) (*Managed, error) {
	m := new(Managed)
	if err := json.Unmarshal(row.Document, m); err != nil {
		return nil, moraine.Wrap(err, moraine.Corrupt, "the record of %s is damaged", row.ARN)
	}
	m.ID, m.Account, m.ARN = row.ID, row.Account, row.ARN
	return m, nil
}

// record is what has a row.
type record interface {
	row() (moraine.Identity, error)
}

func save(tx meta.Tx, r record) error {
	row, err := r.row()
	if err != nil {
		return err
	}
	return tx.Identities().Save(row)
}

// find returns the entity of that name, whose case counts; NoSuchEntity if
// there is none.
func find(tx meta.Tx, a moraine.AccountID, kind moraine.IdentityKind, name string) (*Entity, error) {
	row, err := tx.Identities().Get(a, kind, strings.ToLower(name))
	if errors.Is(err, meta.ErrNotFound) {
		return nil, noSuch(kind, name)
	}
	if err != nil {
		return nil, err
	}
	e, err := readEntity(row)
	if err == nil && e.Name != name {
		return nil, noSuch(kind, name)
	}
	return e, err
}

// findManaged returns the managed policy with that ARN, which must belong to
// the account.
func findManaged(tx meta.Tx, a moraine.AccountID, arn string) (*Managed, error) {
	row, err := tx.Identities().Get(a, moraine.PolicyIdentity, strings.ToLower(arn[lastSlash(arn):]))
	if errors.Is(err, meta.ErrNotFound) || err == nil && row.ARN != arn {
		return nil, noSuchPolicy(arn)
	}
	if err != nil {
		return nil, err
	}
	return readManaged(row)
}

// listBatch is how many rows a walk reads at once. With the longest texts they
// are about ten million bytes.
const listBatch = 50

// walk calls fn for each row of one kind after a name, until it returns false.
func walk(tx meta.Tx, a moraine.AccountID, kind moraine.IdentityKind, after string, fn func(moraine.Identity) (bool, error)) error {
	for {
		rows, err := tx.Identities().List(a, kind, after, listBatch)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if more, err := fn(row); err != nil || !more {
				return err
			}
			after = row.Name
		}
		if len(rows) < listBatch {
			return nil
		}
	}
}

// lastSlash is the index after the last slash.
func lastSlash(s string) int { return strings.LastIndexByte(s, '/') + 1 }
