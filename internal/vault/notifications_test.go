package vault_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/vault"
)

func notifications(topic string, events ...string) func() (vault.NotificationParameters, error) {
	return func() (vault.NotificationParameters, error) {
		return vault.NotificationParameters{SNSTopic: topic, Events: events}, nil
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	ctx := t.Context()
	const topic, archives, inventories = "arn:aws:sns:us-east-1:111111111111:t", "ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"
	h.must(h.SetVaultNotifications(ctx, h.call, "v1", notifications(topic, inventories, archives, inventories)))
	want := moraine.Notifications{Topic: topic, Events: []moraine.Event{inventories, archives}}
	got, err := h.GetVaultNotifications(ctx, h.call, "v1")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, want (-), got (+):\n%s", err, diff)
	}
	if got := h.revision(); got != 0 {
		t.Errorf("a configuration of notifications, by which nothing is decided, changed the revision to %d", got)
	}

	// Refusals come in the order of §1.12 and leave what there is.
	malformed := func() (vault.NotificationParameters, error) {
		return vault.NotificationParameters{}, moraine.Errorf(moraine.Malformed, "bad")
	}
	h.wantError(h.SetVaultNotifications(ctx, h.as("alice"), "v1", malformed), moraine.Denied, "User: ")
	h.wantError(h.SetVaultNotifications(ctx, h.call, "no", malformed), moraine.Malformed, "bad")
	h.wantError(h.SetVaultNotifications(ctx, h.call, "no", notifications(topic, archives)), moraine.NotFound, "Vault not found for ARN: ")
	h.wantError(h.SetVaultNotifications(ctx, h.call, "v1", notifications(topic, "Other")), moraine.Invalid, "Invalid Events: Other")
	_, err = h.GetVaultNotifications(ctx, h.as("alice"), "v1")
	h.wantError(err, moraine.Denied, "User: ")
	h.wantError(h.DeleteVaultNotifications(ctx, h.as("alice"), "v1"), moraine.Denied, "User: ")
	if got, err := h.GetVaultNotifications(ctx, h.call, "v1"); !cmp.Equal(want, got) || err != nil {
		t.Errorf("after refusals: %v, %v", got, err)
	}

	// A vault made again under the name has none.
	h.must(h.DeleteVault(ctx, h.call, "v1"))
	h.create("v1")
	_, err = h.GetVaultNotifications(ctx, h.call, "v1")
	h.wantError(err, moraine.NotFound, "No notification configuration is set for vault: arn:aws:glacier:us-east-1:111111111111:vaults/v1")
}
