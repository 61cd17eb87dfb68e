package account

import (
	"context"
	"slices"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// document reads and checks a policy text on its way in.
func document(text string, t policy.Target) (*policy.Document, error) {
	switch {
	case text == "":
		return nil, absent("policyDocument")
	case len(text) > 2*documentMax:
		return nil, failf(ValidationError, "1 validation error detected: Value at 'policyDocument' failed to satisfy constraint: Member must have length less than or equal to %d", documentMax)
	}
	d, err := policy.Parse([]byte(text))
	if err != nil {
		return nil, malformed(err, t.Kind)
	}
	if _, err := policy.Validate(d, t); err != nil {
		return nil, malformed(err, t.Kind)
	}
	return d, nil
}

// PutInline stores an inline policy of a user, group or role.
func (s *Service) PutInline(ctx context.Context, c Call, kind moraine.IdentityKind, name, policyName, text string) error {
	r := rules[kind]
	action := "iam:Put" + r.title + "Policy"
	err := s.change(ctx, func(tx meta.Tx) error {
		e, err := s.admit(tx, &c, action, kind, name)
		if err != nil {
			return err
		}
		if err := checkName(policyName, "policyName", groupNameMax); err != nil {
			return err
		}
		i, found := indexOf(e.Inline, policyName)
		if _, err := document(text, policy.Target{
			Kind: policy.IdentityPolicy, SizeMax: r.inlineMax, SizeUsed: inlineSize(e.Inline, policyName), Owner: string(kind) + " " + name,
		}); err != nil {
			return err
		}
		next := InlinePolicy{policyName, text}
		switch {
		case found:
			e.Inline[i] = next
		case len(e.Inline) >= inlineCountMax:
			return overQuota("PoliciesPer"+r.title, inlineCountMax)
		default:
			e.Inline = slices.Insert(e.Inline, i, next)
		}
		return save(tx, e)
	})
	if err == nil {
		s.privileged(ctx, &c, action, name)
	}
	return err
}

// inlineSize is what the inline policies count against their quota, but for
// the one that is replaced.
func inlineSize(list []InlinePolicy, but string) (n int) {
	for _, p := range list {
		if p.Name == but {
			continue
		}
		if d, err := policy.Parse([]byte(p.Text)); err == nil {
			n += d.Size()
		}
	}
	return n
}

func noInline(kind moraine.IdentityKind, policyName string) error {
	return failf(NoSuchEntity, "The %s policy with name %s cannot be found.", kind, policyName)
}

// Inline returns the text of an inline policy.
func (s *Service) Inline(ctx context.Context, c Call, kind moraine.IdentityKind, name, policyName string) (string, error) {
	return view(ctx, s, func(tx meta.Tx) (string, error) {
		e, err := s.admit(tx, &c, "iam:Get"+rules[kind].title+"Policy", kind, name)
		if err != nil {
			return "", err
		}
		if err := checkName(policyName, "policyName", groupNameMax); err != nil {
			return "", err
		}
		i, ok := indexOf(e.Inline, policyName)
		if !ok {
			return "", noInline(kind, policyName)
		}
		return e.Inline[i].Text, nil
	})
}

// DeleteInline removes an inline policy.
func (s *Service) DeleteInline(ctx context.Context, c Call, kind moraine.IdentityKind, name, policyName string) error {
	return s.change(ctx, func(tx meta.Tx) error {
		e, err := s.admit(tx, &c, "iam:Delete"+rules[kind].title+"Policy", kind, name)
		if err != nil {
			return err
		}
		if err := checkName(policyName, "policyName", groupNameMax); err != nil {
			return err
		}
		i, ok := indexOf(e.Inline, policyName)
		if !ok {
			return noInline(kind, policyName)
		}
		e.Inline = slices.Delete(e.Inline, i, i+1)
		return save(tx, e)
	})
}

// ListInline returns the names of the inline policies, in order.
func (s *Service) ListInline(ctx context.Context, c Call, kind moraine.IdentityKind, name string, p Page) (names []string, next string, err error) {
	e, err := view(ctx, s, func(tx meta.Tx) (*Entity, error) {
		return s.admit(tx, &c, "iam:List"+rules[kind].title+"Policies", kind, name)
	})
	if err != nil {
		return nil, "", err
	}
	for _, in := range e.Inline {
		names = append(names, in.Name)
	}
	return cut(names, p)
}
