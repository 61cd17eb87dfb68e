package account_test

import (
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/meta"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	put := func(kind moraine.IdentityKind, id, name, path string) {
		t.Helper()
		err := o.rows.Update(t.Context(), func(tx meta.Tx) error {
			return tx.Identities().Save(moraine.Identity{
				ID: id, Account: here, Kind: kind, Name: name, ARN: "arn:aws:iam::" + here + ":" + string(kind) + path + name,
				Document: []byte(`{"name":"` + name + `","path":"` + path + `","role":{"trust":""}}`),
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(user, "AIDAAAAAAAAAAAAAAAAAA", "zoe", "/")
	put(role, "AROAAAAAAAAAAAAAAAAAA", "zen", "/deep/")
	put(group, "AGPAAAAAAAAAAAAAAAAAA", "zoo", "/")
	iam, sts := "arn:aws:iam::"+here+":", "arn:aws:sts::"+here+":"
	at := time.Unix(1_900_000_000, 0)
	for _, row := range []struct{ name, arn, id, fault string }{
		{iam + "root", iam + "root", "", ""},
		{iam + "user/zoe", iam + "user/zoe", "AIDAAAAAAAAAAAAAAAAAA", ""},
		{iam + "role/deep/zen", sts + "assumed-role/zen/simulate", "AROAAAAAAAAAAAAAAAAAA:simulate", ""},
		{sts + "assumed-role/zen/night", sts + "assumed-role/zen/night", "AROAAAAAAAAAAAAAAAAAA:night", ""},
		{iam + "role/zen", "", "", "NoSuchEntity: The role with name zen cannot be found."},
		{iam + "user/nobody", "", "", "NoSuchEntity: The user with name nobody cannot be found."},
		{"arn:aws:iam::111111111111:root", "", "", "NoSuchEntity: The account 111111111111 cannot be found."},
		{iam + "group/zoo", "", "", "InvalidInput: " + iam + "group/zoo is not the ARN of a root, a user, a role or a session of a role."},
		{iam + "root/zoe", "", "", "InvalidInput: " + iam + "root/zoe is not the ARN of a root, a user, a role or a session of a role."},
		{sts + "assumed-role", "", "", "InvalidInput: " + sts + "assumed-role is not the ARN of a root, a user, a role or a session of a role."},
		{"zoe", "", "", "InvalidInput: zoe is not the ARN of a root, a user, a role or a session of a role."},
	} {
		t.Run(row.name, func(t *testing.T) {
			var p access.Principal
			err := o.rows.View(t.Context(), func(tx meta.Tx) (err error) {
				p, err = account.Named(tx, row.name, at)
				return err
			})
			if fault := ""; err != nil {
				if fault = err.Error(); fault != row.fault {
					t.Errorf("error %q, want %q", fault, row.fault)
				}
				return
			}
			if row.fault != "" || p.ARN != row.arn || p.ID != row.id || p.Account != here {
				t.Errorf("got %+v, want %+v", p, row)
			}
			if p.RoleID != "" && !p.Issued.Equal(at) {
				t.Errorf("the session began at %s, want %s", p.Issued, at)
			}
		})
	}
}
