package vault

import (
	"cmp"
	"context"
	"slices"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
)

// UnknownTagOperation refuses a POST to the tags of a vault whose query
// parameter operation, as sent and "" if absent, names none (§10.3). Whoever may
// not add tags is told that first (§1.12).
func (s *Service) UnknownTagOperation(ctx context.Context, call access.Call, name, operation string) error {
	check := func() error {
		if operation == "" {
			return missing("operation")
		}
		return moraine.Errorf(moraine.Invalid, "Invalid operation: %s", operation)
	}
	return s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		_, err := s.enterFor(tx, call, access.Act{Action: "AddTagsToVault", Vault: name}, check)
		return err
	})
}

// AddTagsToVault sets tags; those with the same keys are replaced (§10.3).
// params decodes the request, nil being an absent field, and has no two tags
// with one key; its errors come in their place (§1.12).
func (s *Service) AddTagsToVault(ctx context.Context, call access.Call, name string, params func() ([]moraine.Tag, error)) error {
	tags, malformed := params()
	act := access.Act{Action: "AddTagsToVault", Vault: name}
	if len(tags) <= moraine.TagsRequestMax { // else it is refused anyway
		act.Tags = tags
	}
	for _, t := range act.Tags {
		act.TagKeys = append(act.TagKeys, t.Key)
	}
	check := func() error {
		if malformed != nil {
			return malformed
		}
		return checkTags(tags)
	}
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enterFor(tx, call, act, check)
		if err != nil {
			return err
		}
		old, err := tx.Documents().Tags(v.ID)
		if err != nil {
			return err
		}
		all := mergeTags(old, tags)
		if len(all) > moraine.TagsMax {
			return moraine.Errorf(moraine.Limit, "The quota for the number of tags that can be assigned to this resource has been reached.")
		}
		return s.setTags(tx, &v, all)
	})
}

// checkTags checks how many tags a request has and each of them.
func checkTags(tags []moraine.Tag) error {
	if err := checkTagCount("Tags", tags == nil, len(tags)); err != nil {
		return err
	}
	for _, t := range tags {
		if !moraine.ValidTagKey(t.Key) {
			return moraine.Errorf(moraine.Invalid, "Invalid tag key: %s", t.Key)
		}
		if !moraine.ValidTagValue(t.Value) {
			return moraine.Errorf(moraine.Invalid, "Invalid tag value: %s", t.Value)
		}
	}
	return nil
}

func checkTagCount(field string, absent bool, n int) error {
	switch {
	case absent && field == "Tags":
		return missing("tags")
	case absent:
		return missing("tagKeys")
	case n < 1 || n > moraine.TagsRequestMax:
		return moraine.Errorf(moraine.Invalid, "Invalid %s: %d entries where 1 to %d are allowed", field, n, moraine.TagsRequestMax)
	}
	return nil
}

// mergeTags returns old with the added tags, which replace those with the same
// keys, in byte order of key.
func mergeTags(old, added []moraine.Tag) []moraine.Tag {
	all := slices.DeleteFunc(slices.Clone(old), func(t moraine.Tag) bool {
		return slices.ContainsFunc(added, func(a moraine.Tag) bool { return a.Key == t.Key })
	})
	all = append(all, added...)
	slices.SortFunc(all, func(a, b moraine.Tag) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// RemoveTagsFromVault removes tags by key; keys that are not there are no
// error (§10.3). params is as in AddTagsToVault.
func (s *Service) RemoveTagsFromVault(ctx context.Context, call access.Call, name string, params func() ([]string, error)) error {
	keys, malformed := params()
	act := access.Act{Action: "RemoveTagsFromVault", Vault: name}
	if len(keys) <= moraine.TagsRequestMax { // else it is refused anyway
		act.TagKeys = keys
	}
	check := func() error {
		if malformed != nil {
			return malformed
		}
		if err := checkTagCount("TagKeys", keys == nil, len(keys)); err != nil {
			return err
		}
		for _, key := range keys {
			if !moraine.ValidTagKey(key) {
				return moraine.Errorf(moraine.Invalid, "Invalid tag key: %s", key)
			}
		}
		return nil
	}
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enterFor(tx, call, act, check)
		if err != nil {
			return err
		}
		old, err := tx.Documents().Tags(v.ID)
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(old), func(t moraine.Tag) bool { return slices.Contains(keys, t.Key) })
		if len(left) == len(old) {
			return nil
		}
		return s.setTags(tx, &v, left)
	})
}

func (s *Service) setTags(tx meta.Tx, v *moraine.Vault, tags []moraine.Tag) error {
	if err := tx.Documents().SetTags(v.ID, tags); err != nil {
		return err
	}
	return revise(tx, v)
}

// ListTagsForVault returns the tags of a vault in byte order of key (§10.3).
func (s *Service) ListTagsForVault(ctx context.Context, call access.Call, name string) ([]moraine.Tag, error) {
	var tags []moraine.Tag
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "ListTagsForVault", name, nil)
		if err != nil {
			return err
		}
		tags, err = tx.Documents().Tags(v.ID)
		return err
	})
	return tags, err
}
