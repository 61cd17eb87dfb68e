package account_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/account"
)

// TestRefusals is a table of operations that fail, with their exact words.
func TestRefusals(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	bob := o.create(user, "bob")
	o.create(group, "g")
	o.create(role, "r")
	weak := o.as(o.key("bob"))
	o.key("bob")
	m, err := o.CreatePolicy(ctx, o.root, account.NewPolicy{Name: "m", Text: allow("glacier:*")})
	o.ok(err)
	page := account.Page{MaxItems: 100}
	create := func(n account.NewEntity) func() error {
		return func() error { _, err := o.Create(ctx, o.root, n); return err }
	}
	put := func(kind moraine.IdentityKind, name, text string) func() error {
		return func() error { return o.PutInline(ctx, o.root, kind, name, "p", text) }
	}
	none := "arn:aws:iam::" + here + ":policy/none"
	for _, row := range []struct {
		name    string
		do      func() error
		code    account.Code
		message string
	}{
		{"the name is taken", create(account.NewEntity{Kind: user, Name: "BOB"}), account.EntityAlreadyExists, "User with name BOB already exists."},
		{"the group is there", create(account.NewEntity{Kind: group, Name: "G"}), account.EntityAlreadyExists, "Group with name G already exists."},
		{"the role is there", create(account.NewEntity{Kind: role, Name: "r", Trust: trust("*")}), account.EntityAlreadyExists, "Role with name r already exists."},
		{"no name", create(account.NewEntity{Kind: user}), account.ValidationError, "1 validation error detected: Value null at 'userName'"},
		{"a slash in a name", create(account.NewEntity{Kind: user, Name: "a/b"}), account.ValidationError, "1 validation error detected: Value 'a/b' at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+"},
		{"an accent in a name", create(account.NewEntity{Kind: user, Name: "bób"}), account.ValidationError, "1 validation error"},
		{"a long name", create(account.NewEntity{Kind: user, Name: strings.Repeat("a", 65)}), account.ValidationError, "1 validation error"},
		{"a path without end", create(account.NewEntity{Kind: user, Name: "x", Path: "/a"}), account.ValidationError, "The specified value for path is invalid."},
		{"a path of two slashes", create(account.NewEntity{Kind: user, Name: "x", Path: "//"}), account.ValidationError, "The specified value for path is invalid."},
		{"a long path", create(account.NewEntity{Kind: user, Name: "x", Path: "/" + strings.Repeat("a", 511) + "/"}), account.ValidationError, "The specified value for path is invalid."},
		{"a boundary that is not there", create(account.NewEntity{Kind: user, Name: "x", Boundary: none}), account.NoSuchEntity, "Policy " + none + " does not exist or is not attachable."},
		{"a tag twice", create(account.NewEntity{Kind: user, Name: "x", Tags: []moraine.Tag{{Key: "a"}, {Key: "A"}}}), account.InvalidInput, "Duplicate tag keys found."},
		{"a reserved tag", create(account.NewEntity{Kind: user, Name: "x", Tags: []moraine.Tag{{Key: "AWS:a"}}}), account.InvalidInput, "Tag keys beginning"},
		{"a tag with a star", create(account.NewEntity{Kind: user, Name: "x", Tags: []moraine.Tag{{Key: "a", Value: "*"}}}), account.ValidationError, "1 validation error"},
		{"a role without trust", create(account.NewEntity{Kind: role, Name: "x"}), account.ValidationError, "1 validation error detected: Value null at 'assumeRolePolicyDocument'"},
		{"a role that trusts nobody", create(account.NewEntity{Kind: role, Name: "x", Trust: trust("arn:aws:iam::" + here + ":user/nobody")}), account.MalformedPolicyDocument, "Invalid principal in policy"},
		{"a role with a short session", create(account.NewEntity{Kind: role, Name: "x", Trust: trust("*"), SessionMax: time.Minute}), account.ValidationError, "1 validation error detected: Value '60' at 'maxSessionDuration'"},

		{"no tags", func() error { return o.Tag(ctx, o.root, user, "bob", nil) }, account.ValidationError, "1 validation error detected: Value null at 'tags'"},
		{"no tag keys", func() error { return o.Untag(ctx, o.root, role, "r", nil) }, account.ValidationError, "1 validation error detected: Value null at 'tagKeys'"},
		{"no tags for a policy", func() error { return o.TagPolicy(ctx, o.root, m.ARN, nil) }, account.ValidationError, "1 validation error detected: Value null at 'tags'"},
		{"no version", func() error { return o.DeletePolicyVersion(ctx, o.root, m.ARN, "") }, account.ValidationError, "1 validation error detected: Value null at 'versionId'"},
		{"no key", func() error { return o.DeleteKey(ctx, o.root, "bob", "") }, account.ValidationError, "1 validation error detected: Value null at 'accessKeyId'"},
		{"no key to ask about", func() error { _, err := o.KeyUse(ctx, o.root, ""); return err }, account.ValidationError, "1 validation error detected: Value null at 'accessKeyId'"},
		{"no name of a policy", func() error { _, err := o.Inline(ctx, o.root, group, "g", ""); return err }, account.ValidationError, "1 validation error detected: Value null at 'policyName'"},
		{"no name of a policy to delete", func() error { return o.DeleteInline(ctx, o.root, group, "g", "") }, account.ValidationError, "1 validation error detected: Value null at 'policyName'"},
		{"nobody to simulate", func() error {
			_, err := o.Simulate(ctx, o.root, account.Simulation{Actions: []string{"a:b"}})
			return err
		}, account.ValidationError, "1 validation error detected: Value null at 'policySourceArn'"},

		{"no such user", func() error { _, err := o.Get(ctx, o.root, user, "none"); return err }, account.NoSuchEntity, "The user with name none cannot be found."},
		{"the case of a name", func() error { _, err := o.Get(ctx, o.root, user, "Bob"); return err }, account.NoSuchEntity, "The user with name Bob cannot be found."},
		{"no such group", func() error { return o.Delete(ctx, o.root, group, "none") }, account.NoSuchEntity, "The group with name none cannot be found."},
		{"no such role", func() error { return o.SetTrust(ctx, o.root, "none", trust("*")) }, account.NoSuchEntity, "The role with name none cannot be found."},
		{"no such inline policy", func() error { return o.DeleteInline(ctx, o.root, user, "bob", "none") }, account.NoSuchEntity, "The user policy with name none cannot be found."},
		{"no such policy", func() error { return o.DeletePolicy(ctx, o.root, none) }, account.NoSuchEntity, "Policy " + none + " was not found."},
		{"no such version", func() error { return o.SetDefaultVersion(ctx, o.root, m.ARN, "v9") }, account.NoSuchEntity, "Policy " + m.ARN + " version v9 does not exist"},
		{"attach nothing", func() error { return o.Attach(ctx, o.root, group, "g", none) }, account.NoSuchEntity, "Policy " + none + " does not exist or is not attachable."},
		{"detach what is not attached", func() error { return o.Detach(ctx, o.root, user, "bob", m.ARN) }, account.NoSuchEntity, "Policy " + m.ARN + " was not found."},
		{"no boundary to remove", func() error { return o.DropBoundary(ctx, o.root, user, "bob") }, account.NoSuchEntity, "User bob does not have a permissions boundary."},
		{"no such member", func() error { return o.Join(ctx, o.root, "g", "none") }, account.NoSuchEntity, "The user with name none cannot be found."},
		{"another's key", func() error { return o.DeleteKey(ctx, o.root, "", "AKIAAAAAAAAAAAAAAAAA") }, account.NoSuchEntity, "The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found"},
		{"the bootstrap key", func() error { return o.SetKeyActive(ctx, o.root, "", bootstrap().KeyID, false) }, account.UnmodifiableEntity, "The key " + bootstrap().KeyID},
		{"the sample key", func() error { return o.DeleteKey(ctx, o.root, "", "SAMPLE") }, account.NoSuchEntity, "The Access Key with id SAMPLE cannot be found"},
		{"a third key", func() error { _, err := o.CreateKey(ctx, o.root, "bob"); return err }, account.LimitExceeded, "Cannot exceed quota for AccessKeysPerUser: 2"},
		{"a policy of the name", func() error {
			_, err := o.CreatePolicy(ctx, o.root, account.NewPolicy{Name: "M", Text: allow("a:b")})
			return err
		}, account.EntityAlreadyExists, "A policy called M already exists. Duplicate names are not allowed."},
		{"the default version", func() error { return o.DeletePolicyVersion(ctx, o.root, m.ARN, "v1") }, account.DeleteConflict, "Cannot delete the default version of a policy."},
		{"a marker of nobody", func() error {
			_, err := o.List(ctx, o.root, user, "", account.Page{Marker: "?", MaxItems: 1})
			return err
		}, account.InvalidInput, "Invalid Marker."},

		{"no JSON", put(user, "bob", "{"), account.MalformedPolicyDocument, "Syntax errors in policy."},
		{"an unknown key", put(user, "bob", `{"Policy":{}}`), account.MalformedPolicyDocument, "Syntax errors in policy."},
		{"an old version", put(user, "bob", `{"Version":"2012-10-18","Statement":[]}`), account.MalformedPolicyDocument, "Policy document must be version 2012-10-17 or greater."},
		{"a principal", put(group, "g", trust("*")), account.MalformedPolicyDocument, "Policy document should not specify a principal."},
		{"no vendor", put(user, "bob", allow("ListVaults")), account.MalformedPolicyDocument, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
		{"beyond a user's quota", put(user, "bob", allow("glacier:"+strings.Repeat("a", 2048))), account.LimitExceeded, "Maximum policy size of 2048 bytes exceeded for user bob"},
		{"beyond a group's quota", put(group, "g", allow("glacier:"+strings.Repeat("a", 5120))), account.LimitExceeded, "Maximum policy size of 5120 bytes exceeded for group g"},
		{"beyond a role's quota", put(role, "r", allow("glacier:"+strings.Repeat("a", 10240))), account.LimitExceeded, "Maximum policy size of 10240 bytes exceeded for role r"},
		{"a Chinese sid", put(user, "bob", strings.Replace(allow("a:b"), `"Effect"`, `"Sid":"中","Effect"`, 1)), account.ValidationError, ""},
		{"no text", put(user, "bob", ""), account.ValidationError, "1 validation error detected: Value null at 'policyDocument'"},

		{"not allowed", func() error { _, err := o.Get(ctx, weak, user, "bob"); return err }, account.AccessDeniedCode,
			"User: " + bob.ARN + " is not authorized to perform: iam:GetUser on resource: " + bob.ARN + " because no identity-based policy allows the iam:GetUser action"},
		{"not allowed to know", func() error { _, err := o.Get(ctx, weak, user, "none"); return err }, account.AccessDeniedCode,
			"User: " + bob.ARN + " is not authorized to perform: iam:GetUser on resource: arn:aws:iam::" + here + ":user/none because no identity-based policy allows the iam:GetUser action"},
		{"not allowed to list", func() error { _, _, err := o.Policies(ctx, weak, account.PolicyList{Page: page}); return err }, account.AccessDeniedCode, "User: " + bob.ARN},
		{"not allowed a key of its own", func() error { _, err := o.CreateKey(ctx, weak, ""); return err }, account.AccessDeniedCode, "User: " + bob.ARN},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantCode(t, row.do(), row.code, row.message)
		})
	}
}

// TestQuotas fills what has a limit.
func TestQuotas(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	o.create(user, "bob")
	var arns []string
	for n := range 11 {
		o.create(group, fmt.Sprint("g", n))
		m, err := o.CreatePolicy(ctx, o.root, account.NewPolicy{Name: fmt.Sprint("p", n), Text: allow("glacier:*")})
		o.ok(err)
		arns = append(arns, m.ARN)
	}
	for n := range 10 {
		o.ok(o.Join(ctx, o.root, fmt.Sprint("g", n), "bob"))
		o.ok(o.Join(ctx, o.root, fmt.Sprint("g", n), "bob")) // again is no error and counts once
		o.ok(o.Attach(ctx, o.root, user, "bob", arns[n]))
		o.ok(o.Attach(ctx, o.root, user, "bob", arns[n]))
	}
	wantCode(t, o.Join(ctx, o.root, "g10", "bob"), account.LimitExceeded, "Cannot exceed quota for GroupsPerUser: 10")
	wantCode(t, o.Attach(ctx, o.root, user, "bob", arns[10]), account.LimitExceeded, "Cannot exceed quota for PoliciesPerUser: 10")
	m, err := o.Policy(ctx, o.root, arns[0])
	if err != nil || m.Attached != 1 {
		t.Errorf("attached %d times, %v; want 1", m.Attached, err)
	}
	wantCode(t, o.DeletePolicy(ctx, o.root, arns[0]), account.DeleteConflict, "Cannot delete a policy attached to entities.")
	wantCode(t, o.Delete(ctx, o.root, group, "g0"), account.DeleteConflict, "Cannot delete entity, must remove users from group first.")

	tags := make([]moraine.Tag, 50)
	for n := range tags {
		tags[n] = moraine.Tag{Key: fmt.Sprint("k", n)}
	}
	o.ok(o.Tag(ctx, o.root, user, "bob", tags))
	o.ok(o.Tag(ctx, o.root, user, "bob", []moraine.Tag{{Key: "K7", Value: "v"}}))
	wantCode(t, o.Tag(ctx, o.root, user, "bob", []moraine.Tag{{Key: "more"}}), account.LimitExceeded, "The number of tags")

	for range 4 {
		_, _, err := o.AddPolicyVersion(ctx, o.root, arns[0], allow("glacier:*"), false)
		o.ok(err)
	}
	_, _, err = o.AddPolicyVersion(ctx, o.root, arns[0], allow("glacier:*"), false)
	wantCode(t, err, account.LimitExceeded, "A managed policy can have up to 5 versions.")
	o.ok(o.DeletePolicyVersion(ctx, o.root, arns[0], "v5"))
	_, v, err := o.AddPolicyVersion(ctx, o.root, arns[0], allow("glacier:*"), true)
	if err != nil || v.ID() != "v6" {
		t.Errorf("the number of a deleted version is given again: %v, %v", v, err)
	}

	// Two inline policies share the quota; what is replaced does not count.
	half := allow("glacier:" + strings.Repeat("a", 950))
	o.create(user, "kim")
	o.ok(o.PutInline(ctx, o.root, user, "kim", "a", half))
	o.ok(o.PutInline(ctx, o.root, user, "kim", "a", half))
	o.ok(o.PutInline(ctx, o.root, user, "kim", "b", allow("glacier:"+strings.Repeat("a", 800))))
	wantCode(t, o.PutInline(ctx, o.root, user, "kim", "c", half), account.LimitExceeded, "Maximum policy size of 2048 bytes exceeded for user kim")
}

// TestTexts brings policies back byte for byte.
func TestTexts(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	text := "\r\n{ \"Statement\" : [ ] ,\t\"Version\":\"2012-10-17\" } "
	odd := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"arn:aws:s3:::<&é\u0041>"}}`
	o.create(user, "bob")
	for n, want := range []string{text, odd} {
		name := fmt.Sprint("p", n)
		o.ok(o.PutInline(ctx, o.root, user, "bob", name, want))
		if got, err := o.Inline(ctx, o.root, user, "bob", name); err != nil || got != want {
			t.Errorf("inline: got %q, %v; want %q", got, err, want)
		}
		m, err := o.CreatePolicy(ctx, o.root, account.NewPolicy{Name: name, Text: want})
		o.ok(err)
		if _, v, err := o.PolicyVersion(ctx, o.root, m.ARN, "v1"); err != nil || v.Text != want {
			t.Errorf("managed: got %v, %v; want %q", v, err, want)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for n := range 7 {
		o.create(user, fmt.Sprintf("U%d", n))
	}
	for size := 1; size <= 8; size++ {
		var got []string
		p := account.Page{MaxItems: size}
		for pages := 0; ; pages++ {
			list, err := o.List(t.Context(), o.root, user, "", p)
			o.ok(err)
			for _, e := range list.List {
				got = append(got, e.Name)
			}
			if list.Next == "" {
				if want := (7 + size - 1) / size; pages+1 != want {
					t.Errorf("size %d: %d pages, want %d", size, pages+1, want)
				}
				break
			}
			p.Marker = list.Next
		}
		if strings.Join(got, "") != "U0U1U2U3U4U5U6" {
			t.Errorf("size %d: %v", size, got)
		}
	}
}

// TestAssumeRole is the table of who may assume a role.
func TestAssumeRole(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	bob := o.create(user, "bob")
	o.create(user, "eve")
	o.ok(o.PutInline(ctx, o.root, user, "eve", "p", allow("sts:*")))
	callers := map[string]account.Call{"root": o.root, "bob": o.as(o.key("bob")), "eve": o.as(o.key("eve"))}
	other, err := o.CreateAccount(ctx, "")
	o.ok(err)
	callers["foreign root"] = account.Call{Principal: o.must(o.Lookup(ctx, other.KeyID, ""))}
	foreign, err := o.Create(ctx, callers["foreign root"], account.NewEntity{Kind: user, Name: "fay"})
	o.ok(err)
	fay, err := o.CreateKey(ctx, callers["foreign root"], "fay")
	o.ok(err)
	callers["fay"] = o.as(fay)

	condition := func(text, more string) string { return strings.Replace(text, `"Action"`, more+`,"Action"`, 1) }
	for _, row := range []struct {
		name, trust string
		in          account.AssumeRole
		may         string // names of the callers, in order of name
	}{
		{"the user by name", trust(bob.ARN), account.AssumeRole{}, "bob"},
		{"the user by id", trust(bob.ID), account.AssumeRole{}, "bob"},
		{"the account delegates", trust(here), account.AssumeRole{}, "eve"},
		{"another account delegates", trust(string(other.Account)), account.AssumeRole{}, ""},
		{"another's user needs both sides", trust(foreign.ARN), account.AssumeRole{}, ""},
		{"everybody", trust("*"), account.AssumeRole{}, "bob eve"},
		{"without the external id", condition(trust(bob.ARN), `"Condition":{"StringEquals":{"sts:ExternalId":"word"}}`), account.AssumeRole{}, ""},
		{"with the external id", condition(trust(bob.ARN), `"Condition":{"StringEquals":{"sts:ExternalId":"word"}}`), account.AssumeRole{ExternalID: "word"}, "bob"},
		{"tags nobody allowed", trust(bob.ARN), account.AssumeRole{Tags: []moraine.Tag{{Key: "a"}}}, ""},
		{"tags", strings.Replace(trust(bob.ARN), "sts:AssumeRole", "sts:*", 1), account.AssumeRole{Tags: []moraine.Tag{{Key: "a"}}}, "bob"},
		{"a source identity nobody allowed", trust(bob.ARN), account.AssumeRole{SourceIdentity: "me"}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			e, err := o.Create(ctx, o.root, account.NewEntity{Kind: role, Name: "r", Trust: row.trust})
			o.ok(err)
			defer func() { o.ok(o.Delete(ctx, o.root, role, "r")) }()
			row.in.RoleARN, row.in.SessionName = e.ARN, "s1"
			var may []string
			for _, name := range []string{"bob", "eve", "fay", "foreign root", "root"} {
				out, err := o.AssumeRole(ctx, callers[name], row.in)
				if err == nil {
					may = append(may, name)
					p := o.in(out.Credentials).Principal
					if p.ARN != out.ARN || p.ID != e.ID+":s1" || p.RoleARN != e.ARN || p.RoleID != e.ID {
						t.Errorf("the session is %+v", p)
					}
				} else if !moraine.IsKind(err, moraine.Denied) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if got := strings.Join(may, " "); got != row.may {
				t.Errorf("got %q, want %q", got, row.may)
			}
		})
	}
}

// TestAssumeRoleRules are the limits of sessions.
func TestAssumeRoleRules(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	bob := o.create(user, "bob")
	caller := o.as(o.key("bob"))
	e, err := o.Create(ctx, o.root, account.NewEntity{Kind: role, Name: "r", Path: "/p/", Trust: trust(bob.ARN), SessionMax: 2 * time.Hour})
	o.ok(err)
	o.ok(o.PutInline(ctx, o.root, role, "r", "all", allow("*")))
	base := account.AssumeRole{RoleARN: e.ARN, SessionName: "s1"}
	with := func(change func(*account.AssumeRole)) account.AssumeRole {
		in := base
		change(&in)
		return in
	}
	for _, row := range []struct {
		name    string
		in      account.AssumeRole
		code    account.Code
		message string
	}{
		{"plain", base, "", ""},
		{"two hours", with(func(a *account.AssumeRole) { a.Duration = 2 * time.Hour }), "", ""},
		{"too long for the role", with(func(a *account.AssumeRole) { a.Duration = 2*time.Hour + time.Second }), account.ValidationError, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"too long", with(func(a *account.AssumeRole) { a.Duration = 13 * time.Hour }), account.ValidationError, "1 validation error detected: Value '46800' at 'durationSeconds'"},
		{"too short", with(func(a *account.AssumeRole) { a.Duration = time.Second }), account.ValidationError, "1 validation error detected: Value '1' at 'durationSeconds'"},
		{"a short name", with(func(a *account.AssumeRole) { a.SessionName = "s" }), account.ValidationError, "1 validation error"},
		{"a slash in the name", with(func(a *account.AssumeRole) { a.SessionName = "s/t" }), account.ValidationError, "1 validation error"},
		{"no ARN", with(func(a *account.AssumeRole) { a.RoleARN = "r" }), account.ValidationError, "r is invalid"},
		{"no such role", with(func(a *account.AssumeRole) { a.RoleARN = "arn:aws:iam::" + here + ":role/none" }), account.AccessDeniedCode, "User: " + bob.ARN + " is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::" + here + ":role/none"},
		{"without its path", with(func(a *account.AssumeRole) { a.RoleARN = "arn:aws:iam::" + here + ":role/r" }), account.AccessDeniedCode, "User: " + bob.ARN},
		{"a bad session policy", with(func(a *account.AssumeRole) { a.Policy = "{" }), account.MalformedPolicyDocument, "Syntax errors in policy."},
		{"no such session policy", with(func(a *account.AssumeRole) { a.Policies = []string{"arn:aws:iam::" + here + ":policy/x"} }), account.NoSuchEntity, "Policy arn"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := o.AssumeRole(ctx, caller, row.in)
			wantCode(t, err, row.code, row.message)
		})
	}
	out, err := o.AssumeRole(ctx, caller, with(func(a *account.AssumeRole) { a.Policy = allow("glacier:ListVaults") }))
	o.ok(err)
	p := o.in(out.Credentials).Principal
	if !allowed(p, "glacier:ListVaults") || allowed(p, "glacier:DeleteVault") {
		t.Error("the session policy does not narrow")
	}
	if p.Issued.IsZero() || len(out.Token) > 2048 {
		t.Errorf("issued %v, token of %d characters", p.Issued, len(out.Token))
	}
}

// TestRootKeys keeps an account from losing its last way in.
func TestRootKeys(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	other, err := o.CreateAccount(ctx, "123456789012")
	o.ok(err)
	if _, err := o.CreateAccount(ctx, "123456789012"); err == nil {
		t.Error("an account was made twice")
	}
	root := account.Call{Principal: o.must(o.Lookup(ctx, other.KeyID, ""))}
	if !root.Principal.Root || root.Principal.Account != "123456789012" {
		t.Fatalf("the root of the new account is %+v", root.Principal)
	}
	wantCode(t, o.DeleteKey(ctx, root, "", other.KeyID), account.DeleteConflict, "The last active key")
	wantCode(t, o.SetKeyActive(ctx, root, "", other.KeyID, false), account.DeleteConflict, "The last active key")
	second, err := o.CreateKey(ctx, root, "")
	o.ok(err)
	o.ok(o.SetKeyActive(ctx, root, "", other.KeyID, false))
	o.ok(o.DeleteKey(ctx, root, "", other.KeyID))
	wantCode(t, o.DeleteKey(ctx, root, "", second.ID), account.DeleteConflict, "The last active key")
	if _, err := o.Get(ctx, root, user, "bob"); err == nil || !strings.Contains(err.Error(), "security token") {
		t.Errorf("a request held since before its key was deleted: %v", err)
	}
	root = account.Call{Principal: o.must(o.Lookup(ctx, second.ID, ""))}
	// What one account has, another does not see.
	o.create(user, "bob")
	k := o.key("bob")
	_, err = o.Get(ctx, root, user, "bob")
	wantCode(t, err, account.NoSuchEntity, "The user with name bob cannot be found.")
	_, err = o.KeyUse(ctx, root, k.ID)
	wantCode(t, err, account.NoSuchEntity, "The Access Key with id")
	wantCode(t, o.DeleteKey(ctx, root, "", k.ID), account.NoSuchEntity, "The Access Key with id")
}
