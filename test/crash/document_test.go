package crash_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"moraine/test/internal/vaultclient"
)

// document is one text that a vault, or the account, has at most one of.
type document struct {
	register
	kind  documentKind
	vault string // "" for the account
}

// documentKind knows how to read a document and what to make of it next.
type documentKind interface {
	name() string
	read(ctx context.Context, c *vaultclient.Client, vault string) (string, error)
	// next makes a change of a document whose text is old, and names the
	// operation.
	next(w *worker, vault, old string) (op string, c change)
}

func newDocuments() []*document {
	all := []*document{{kind: retrievalPolicy{}, register: register{acked: unlimited}}}
	for _, vault := range vaults {
		all = append(all, &document{kind: accessPolicy{}, vault: vault}, &document{kind: tagSet{}, vault: vault})
	}
	return append(all, &document{kind: notificationConfig{}, vault: restless})
}

// document changes one document that nobody else is changing.
func (w *worker) document(ctx context.Context) error {
	d := w.l.documents[w.r.IntN(len(w.l.documents))]
	mine, old := false, ""
	w.l.do(func() { mine, old = d.claim(), d.acked })
	if !mine {
		return nil
	}
	op, c := d.kind.next(w, d.vault, old)
	return w.write(ctx, op, &d.register, c)
}

// readDocuments reads every document back.
func (v *verifier) readDocuments(ctx context.Context, c *vaultclient.Client) {
	for _, d := range v.l.documents {
		text, err := d.kind.read(ctx, c, d.vault)
		if err != nil {
			v.l.fault("%s %s: %v", d.kind.name(), d.vault, err)
			continue
		}
		v.check(&d.register, text, d.kind.name()+" "+d.vault)
	}
}

// inForce looks whether what was read is what decides.
func (v *verifier) inForce(ctx context.Context, c *vaultclient.Client) {
	for _, vault := range vaults {
		shut := shuts(v.l.documentOf(accessPolicy{}, vault).acked, v.l.documentOf(tagSet{}, vault).acked)
		_, err := c.GetLock(ctx, vault)
		if denied := vaultclient.IsRefused(err, "AccessDeniedException"); denied != shut {
			v.l.fault("%s: the access policy and tags of %s deny GetVaultLock: %t, and it gives: %v", half, vault, shut, err)
		}
	}
}

// documentOf finds a document, which must be one of newDocuments.
func (l *ledger) documentOf(kind documentKind, vault string) *document {
	for _, d := range l.documents {
		if d.kind == kind && d.vault == vault {
			return d
		}
	}
	panic("no such document: " + kind.name() + " " + vault)
}

// accessPolicy lets everybody list tags, or forbids everybody to look at the
// lock, always or while there is a legal hold.
type accessPolicy struct{}

const onHold = `"StringEquals":{"glacier:ResourceTag/` + holdKey + `":"true"}`

// shuts reports whether a policy and tags together forbid to look at the lock.
func shuts(policy, tags string) bool {
	return strings.Contains(policy, `"shut"`) || strings.Contains(policy, `"hold"`) && readTags(tags)[holdKey] == "true"
}

func (accessPolicy) name() string { return "access policy" }

func (accessPolicy) read(ctx context.Context, c *vaultclient.Client, vault string) (string, error) {
	return absent(c.AccessPolicy(ctx, vault))
}

func (accessPolicy) next(w *worker, vault, old string) (string, change) {
	if old != "" && w.r.IntN(4) == 0 {
		return "delete access policy", change{"", func(ctx context.Context) error { return w.c.DeleteAccessPolicy(ctx, vault) }}
	}
	n := w.l.number()
	statements := []string{statement(n, "open", "Allow", "*", "ListTagsForVault", arn(vault), "")}
	switch w.r.IntN(3) {
	case 0:
		statements = append(statements, statement(n, "shut", "Deny", "*", "GetVaultLock", arn(vault), ""))
	case 1:
		statements = append(statements, statement(n, "hold", "Deny", "*", "GetVaultLock", arn(vault), onHold))
	}
	text := policyText(w.r, statements...)
	op := "set access policy"
	if old != "" {
		op = "replace access policy"
	}
	return op, change{text, func(ctx context.Context) error { return w.c.SetAccessPolicy(ctx, vault, text) }}
}

// tagSet is the tags of a vault, told as a JSON object with its keys in order.
type tagSet struct{}

const holdKey = "LegalHold"

func (tagSet) name() string { return "tags" }

func printTags(tags map[string]string) (string, error) {
	if len(tags) == 0 {
		return "", nil
	}
	text, err := json.Marshal(tags)
	return string(text), err
}

func readTags(text string) map[string]string {
	tags := map[string]string{}
	if text != "" {
		_ = json.Unmarshal([]byte(text), &tags) // it is what printTags printed
	}
	return tags
}

func (tagSet) read(ctx context.Context, c *vaultclient.Client, vault string) (string, error) {
	tags, err := c.Tags(ctx, vault)
	if err != nil {
		return "", err
	}
	return printTags(tags)
}

// next adds or removes up to three tags with one request: all of them or none.
func (tagSet) next(w *worker, vault, old string) (string, change) {
	tags := readTags(old)
	if keys := slices.Sorted(maps.Keys(tags)); len(keys) > 0 && w.r.IntN(2) == 0 {
		w.r.Shuffle(len(keys), func(i, k int) { keys[i], keys[k] = keys[k], keys[i] })
		keys = keys[:min(len(keys), 1+w.r.IntN(3))]
		for _, key := range keys {
			delete(tags, key)
		}
		text, _ := printTags(tags) // strings always print
		return "remove tags", change{text, func(ctx context.Context) error { return w.c.RemoveTags(ctx, vault, keys) }}
	}
	added := map[string]string{}
	for range 1 + w.r.IntN(3) {
		added[fmt.Sprint("key é", w.r.IntN(6))] = fmt.Sprint("value ", w.l.number())
	}
	if w.r.IntN(2) == 0 {
		added[holdKey] = []string{"true", "no"}[w.r.IntN(2)]
	}
	maps.Copy(tags, added)
	text, _ := printTags(tags)
	return "add tags", change{text, func(ctx context.Context) error { return w.c.AddTags(ctx, vault, added) }}
}

// notificationConfig is told as JSON.
type notificationConfig struct{}

func (notificationConfig) name() string { return "notification configuration" }

func (notificationConfig) read(ctx context.Context, c *vaultclient.Client, vault string) (string, error) {
	config, err := c.Notifications(ctx, vault)
	text, _ := json.Marshal(config) // strings always print
	return absent(string(text), err)
}

func (notificationConfig) next(w *worker, vault, old string) (string, change) {
	if old != "" && w.r.IntN(4) == 0 {
		return "delete notifications", change{"", func(ctx context.Context) error { return w.c.DeleteNotifications(ctx, vault) }}
	}
	events := slices.Clone(allEvents)
	if w.r.IntN(2) == 0 {
		slices.Reverse(events)
	}
	config := vaultclient.NotificationConfig{SNSTopic: restlessTopics[w.r.IntN(len(restlessTopics))], Events: events[:1+w.r.IntN(2)]}
	text, _ := json.Marshal(config)
	return "set notifications", change{string(text), func(ctx context.Context) error { return w.c.SetNotifications(ctx, vault, config) }}
}

// retrievalPolicy is the data retrieval policy of the account. Its limits are
// beyond what the workload retrieves.
type retrievalPolicy struct{}

const unlimited = `{"Strategy":"None"}`

func (retrievalPolicy) name() string { return "data retrieval policy" }

func (retrievalPolicy) read(ctx context.Context, c *vaultclient.Client, _ string) (string, error) {
	rule, err := c.RetrievalPolicy(ctx)
	text, _ := json.Marshal(rule) // numbers and strings always print
	return string(text), err
}

func (retrievalPolicy) next(w *worker, _, _ string) (string, change) {
	rule := vaultclient.RetrievalRule{Strategy: "None"}
	if w.r.IntN(4) > 0 {
		rate := int64(1<<50) + int64(w.l.number())
		rule = vaultclient.RetrievalRule{Strategy: "BytesPerHour", BytesPerHour: &rate}
	}
	text, _ := json.Marshal(rule)
	return "set data retrieval policy", change{string(text), func(ctx context.Context) error { return w.c.SetRetrievalPolicy(ctx, rule) }}
}
