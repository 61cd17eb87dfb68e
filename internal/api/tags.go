package api

import (
	"maps"
	"slices"

	"moraine"
)

// unknownTagOperation answers a POST to the tags of a vault whose query does
// not say what to do with them.
func (s *Server) unknownTagOperation(c *call) error {
	return s.cfg.Vaults.UnknownTagOperation(c.r.Context(), c.who, c.target.vault, c.query.Get("operation"))
}

func (s *Server) addTagsToVault(c *call) error {
	err := s.cfg.Vaults.AddTagsToVault(c.r.Context(), c.who, c.target.vault,
		func() ([]moraine.Tag, error) { return decodeTags(c.auth.Body) })
	if err != nil {
		return err
	}
	return c.done()
}

// decodeTags reads the body of AddTagsToVault in order of key; nil if the
// field is absent. A null value is "" (§10.3).
func decodeTags(body []byte) ([]moraine.Tag, error) {
	top, err := decodeObject(body)
	if err != nil {
		return nil, err
	}
	in := top.object("Tags")
	if in.fields == nil {
		return nil, *top.err
	}
	tags := make([]moraine.Tag, 0, len(in.fields))
	for _, key := range slices.Sorted(maps.Keys(in.fields)) {
		tag := moraine.Tag{Key: key}
		in.text(key, &tag.Value)
		tags = append(tags, tag)
	}
	return tags, *top.err
}

func (s *Server) removeTagsFromVault(c *call) error {
	err := s.cfg.Vaults.RemoveTagsFromVault(c.r.Context(), c.who, c.target.vault,
		func() ([]string, error) { return decodeTagKeys(c.auth.Body) })
	if err != nil {
		return err
	}
	return c.done()
}

// decodeTagKeys reads the body of RemoveTagsFromVault; nil if the field is
// absent.
func decodeTagKeys(body []byte) ([]string, error) {
	top, err := decodeObject(body)
	if err != nil {
		return nil, err
	}
	keys := top.texts("TagKeys")
	return keys, *top.err
}

func (s *Server) listTagsForVault(c *call) error {
	tags, err := s.cfg.Vaults.ListTagsForVault(c.r.Context(), c.who, c.target.vault)
	if err != nil {
		return err
	}
	answer := struct{ Tags map[string]string }{make(map[string]string, len(tags))}
	for _, t := range tags {
		answer.Tags[t.Key] = t.Value
	}
	return c.ok(answer) // keys of a map are printed in order
}
