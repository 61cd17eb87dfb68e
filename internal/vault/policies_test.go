package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"moraine"
	"moraine/internal/access"
)

func TestAccessPolicyText(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	ctx := t.Context()
	_, err := h.GetVaultAccessPolicy(ctx, h.call, "v1")
	h.wantError(err, moraine.NotFound, "No vault access policy is set for: v1")
	h.must(h.DeleteVaultAccessPolicy(ctx, h.call, "v1"))
	odd := "\n " + strings.ReplaceAll(w1, ",", " ,\t") + " \r\n"
	for _, p := range []string{w1, odd, w2} {
		h.must(h.SetVaultAccessPolicy(ctx, h.call, "v1", text(p)))
		if got, err := h.GetVaultAccessPolicy(ctx, h.call, "v1"); got != p || err != nil {
			t.Errorf("set %q, got %q, %v", p, got, err)
		}
	}
	for range 2 {
		h.must(h.DeleteVaultAccessPolicy(ctx, h.call, "v1"))
	}
	if got := h.revision(); got != 0 {
		t.Errorf("a vault without documents has revision %d", got)
	}
	err = h.SetVaultAccessPolicy(ctx, h.call, "no", text(strings.ReplaceAll(w1, "vaults/v1", "vaults/no")))
	h.wantError(err, moraine.NotFound, "Vault not found for ARN: arn:aws:glacier:us-east-1:111111111111:vaults/no")
}

func TestPolicyRefusals(t *testing.T) {
	t.Parallel()
	const begin = "The specified vault %s policy is invalid. Provide a valid policy. ("
	for name, sent := range map[string]string{
		"empty":           "",
		"not JSON":        "{",
		"wrapped twice":   `{"Policy":` + w1 + `}`,
		"no principal":    document(`{"Effect":"Deny","Action":"glacier:*","Resource":"` + v1 + `"}`),
		"another vault":   strings.ReplaceAll(w1, "vaults/v1", "vaults/v2"),
		"identity action": strings.ReplaceAll(w1, "glacier:DeleteArchive", "glacier:CreateVault"),
		"operator":        strings.ReplaceAll(w1, "NumericLessThan", "NumberLessThan"),
		"too long":        w1 + strings.Repeat(" ", 20_480),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newV1(t)
			h.must(h.SetVaultAccessPolicy(t.Context(), h.call, "v1", text(w2)))
			err := h.SetVaultAccessPolicy(t.Context(), h.call, "v1", text(sent))
			h.wantError(err, moraine.Invalid, fmt.Sprintf(begin, "access"))
			_, err = h.initiate(sent)
			h.wantError(err, moraine.Invalid, fmt.Sprintf(begin, "lock"))
			if got, err := h.GetVaultAccessPolicy(t.Context(), h.call, "v1"); got != w2 || err != nil {
				t.Errorf("the old policy is now %q, %v", got, err)
			}
			h.wantLock("")
		})
	}
	t.Run("absent", func(t *testing.T) {
		t.Parallel()
		h := newV1(t)
		absent := func() (*string, error) { return nil, nil }
		h.wantError(h.SetVaultAccessPolicy(t.Context(), h.call, "v1", absent), moraine.Missing, "Required parameter missing: Policy")
		_, err := h.InitiateVaultLock(t.Context(), h.call, "v1", absent)
		h.wantError(err, moraine.Missing, "Required parameter missing: Policy")
	})
	t.Run("malformed comes after admission", func(t *testing.T) {
		t.Parallel()
		h := newV1(t)
		malformed := func() (*string, error) { return nil, moraine.Errorf(moraine.Malformed, "bad") }
		h.wantError(h.SetVaultAccessPolicy(t.Context(), h.as("alice"), "v1", malformed), moraine.Denied, "User: ")
		h.wantError(h.SetVaultAccessPolicy(t.Context(), h.call, "no", malformed), moraine.Malformed, "bad")
	})
}

// TestSelfMadeLockOut is H12: an access policy that denies everything to
// everybody is undone by the owner's root alone.
func TestSelfMadeLockOut(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	ctx := t.Context()
	h.must(h.SetVaultAccessPolicy(ctx, h.call, "v1", text(denyAll)))
	_, err := h.DescribeVault(ctx, h.call, "v1")
	if got := outcome(err); got != "D access-policy-explicit" {
		t.Errorf("DescribeVault by root: %s", got)
	}
	if got := outcome(h.DeleteVaultAccessPolicy(ctx, h.as("bob"), "v1")); got != "D access-policy-explicit" {
		t.Errorf("DeleteVaultAccessPolicy by bob: %s", got)
	}
	if got, err := h.GetVaultAccessPolicy(ctx, h.call, "v1"); got != denyAll || err != nil {
		t.Errorf("GetVaultAccessPolicy by root: %q, %v", got, err)
	}
	h.must(h.DeleteVaultAccessPolicy(ctx, h.call, "v1"))
	_, err = h.DescribeVault(ctx, h.call, "v1")
	h.must(err)
}

// TestDeniedWhileUploading forbids an upload while its body comes in: nothing
// of it stays.
func TestDeniedWhileUploading(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	data := pattern(1000, 1)
	r := request(data)
	check := r.CheckSHA256
	r.CheckSHA256 = func(sum [32]byte) error {
		h.must(h.SetVaultAccessPolicy(t.Context(), h.call, "v1", text(denyAll)))
		return check(sum)
	}
	_, _, err := h.UploadArchive(t.Context(), h.as("bob"), "v1", r, bytes.NewReader(data))
	if got := outcome(err); got != "D access-policy-explicit" {
		t.Errorf("the upload: %s", got)
	}
	if got := h.blobCount(); got != 0 {
		t.Errorf("%d blobs are left of a refused upload", got)
	}
}

// tags makes n tags with keys from k0 on.
func tags(n int) []moraine.Tag {
	list := make([]moraine.Tag, n)
	for i := range list {
		list[i] = moraine.Tag{Key: fmt.Sprintf("k%02d", i), Value: "v"}
	}
	return list
}

func (h *house) add(list []moraine.Tag) error {
	return h.AddTagsToVault(h.t.Context(), h.call, "v1", func() ([]moraine.Tag, error) { return list, nil })
}

func (h *house) remove(keys []string) error {
	return h.RemoveTagsFromVault(h.t.Context(), h.call, "v1", func() ([]string, error) { return keys, nil })
}

func (h *house) wantTags(want []moraine.Tag) {
	h.t.Helper()
	got, err := h.ListTagsForVault(h.t.Context(), h.call, "v1")
	if err != nil || !slices.Equal(got, want) {
		h.t.Errorf("tags are %v, %v; want %v", got, err, want)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	h.wantTags(nil)
	h.must(h.add([]moraine.Tag{{Key: "team", Value: "ledger"}, {Key: "env"}}))
	h.must(h.add([]moraine.Tag{{Key: "env", Value: "prod"}, {Key: "Env", Value: "ß 1_./=+-@"}}))
	h.wantTags([]moraine.Tag{{Key: "Env", Value: "ß 1_./=+-@"}, {Key: "env", Value: "prod"}, {Key: "team", Value: "ledger"}})
	h.must(h.remove([]string{"env", "none"}))
	h.must(h.remove([]string{"env"}))
	h.wantTags([]moraine.Tag{{Key: "Env", Value: "ß 1_./=+-@"}, {Key: "team", Value: "ledger"}})
	h.must(h.remove([]string{"Env", "team"}))
	if got := h.revision(); got != 0 {
		t.Errorf("a vault without tags has revision %d", got)
	}
}

func TestTagQuota(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	all := tags(50)
	for i := 0; i < 50; i += 10 {
		h.must(h.add(all[i : i+10]))
	}
	h.wantError(h.add([]moraine.Tag{{Key: "k00", Value: "new"}, {Key: "one more"}}), moraine.Limit,
		"The quota for the number of tags that can be assigned to this resource has been reached.")
	h.wantTags(all)
	all[0].Value = "new"
	h.must(h.add(all[:1]))
	h.wantTags(all)
}

func TestTagRefusals(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 128)
	h := newV1(t)
	for name, c := range map[string]struct {
		tags []moraine.Tag
		kind moraine.Kind
		want string
	}{
		"absent":       {nil, moraine.Missing, "Required parameter missing: tags"},
		"none":         {[]moraine.Tag{}, moraine.Invalid, "Invalid Tags: "},
		"eleven":       {tags(11), moraine.Invalid, "Invalid Tags: "},
		"empty key":    {[]moraine.Tag{{}}, moraine.Invalid, "Invalid tag key: "},
		"reserved":     {[]moraine.Tag{{Key: "AwS:x"}}, moraine.Invalid, "Invalid tag key: AwS:x"},
		"character":    {[]moraine.Tag{{Key: "a*"}}, moraine.Invalid, "Invalid tag key: a*"},
		"long key":     {[]moraine.Tag{{Key: long + "x"}}, moraine.Invalid, "Invalid tag key: "},
		"value":        {[]moraine.Tag{{Key: "a", Value: "<"}}, moraine.Invalid, "Invalid tag value: <"},
		"long value":   {[]moraine.Tag{{Key: "a", Value: long + long}}, moraine.Invalid, "Invalid tag value: "},
		"not text":     {[]moraine.Tag{{Key: "\xff"}}, moraine.Invalid, "Invalid tag key: "},
		"control":      {[]moraine.Tag{{Key: "a\tb"}}, moraine.Invalid, "Invalid tag key: "},
		"longest pass": {[]moraine.Tag{{Key: long, Value: long + long[:254]}}, 0, ""},
	} {
		if c.want == "" {
			h.must(h.add(c.tags))
			continue
		}
		err := h.add(c.tags)
		if !moraine.IsKind(err, c.kind) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	h.wantError(h.remove(nil), moraine.Missing, "Required parameter missing: tagKeys")
	h.wantError(h.remove([]string{}), moraine.Invalid, "Invalid TagKeys: ")
	h.wantError(h.remove(make([]string, 11)), moraine.Invalid, "Invalid TagKeys: ")
	h.wantError(h.remove([]string{"aws:x"}), moraine.Invalid, "Invalid tag key: aws:x")
	h.wantError(h.UnknownTagOperation(t.Context(), h.call, "v1", ""), moraine.Missing, "Required parameter missing: operation")
	h.wantError(h.UnknownTagOperation(t.Context(), h.call, "v1", "get"), moraine.Invalid, "Invalid operation: get")
}

// TestForeignVaults is H1 to H5: other accounts reach a vault by its policy
// alone, and nobody learns of vaults that are not theirs to see.
func TestForeignVaults(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	ctx := t.Context()
	abroad := func(name, account string) access.Call {
		c := h.as(name)
		c.Account = account
		return c
	}
	_, err := h.CreateVault(ctx, abroad("erin", accountA), "x")
	h.wantError(err, moraine.Denied, "Access denied for account ID: 111111111111")
	for _, segment := range []string{"111111111112", "1111-1111-1111", "abc", ""} {
		_, err := h.DescribeVault(ctx, abroad("rootA", segment), "v1")
		h.wantError(err, moraine.Denied, "Access denied for account ID: "+segment)
	}
	describe := func(c access.Call, name string) string {
		_, err := h.DescribeVault(ctx, c, name)
		if err == nil {
			return "found"
		}
		if moraine.IsKind(err, moraine.NotFound) {
			return "missing"
		}
		return outcome(err)
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	want(describe(abroad("erin", accountA), "v1"), "D resource-implicit")
	everyone := document(`{"Effect":"Allow","Principal":"*","Action":"glacier:DescribeVault","Resource":"` + v1 + `"}`)
	h.must(h.SetVaultAccessPolicy(ctx, h.call, "v1", text(everyone)))
	want(describe(abroad("erin", accountA), "v1"), "found")
	want(describe(abroad("frank", accountA), "v1"), "D identity-implicit")
	want(describe(abroad("erin", "-"), "v1"), "missing")
	want(describe(abroad("erin", accountA), "v2"), "D resource-implicit")
	want(describe(h.as("alice"), "v1"), "found")
	want(describe(h.as("alice"), "v2"), "D identity-implicit")
	want(describe(h.as("bob"), "v2"), "missing")
	_, err = h.DescribeVault(ctx, abroad("frank", accountA), "v1")
	if got, want := clientText(err), "Access denied for account ID: "+accountA; got != want {
		t.Errorf("a foreign caller is told %q, want %q", got, want)
	}
	_, err = h.DescribeVault(ctx, h.as("alice"), "v2")
	if got := clientText(err); !strings.HasSuffix(got, " because no identity-based policy allows the glacier:DescribeVault action") {
		t.Errorf("alice is told %q", got)
	}
}

// clientText is what a client may read of an error.
func clientText(err error) string {
	var e *moraine.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return ""
}
