package vault

import (
	"context"
	"errors"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// PolicyText decodes the field Policy of a request; nil means that it is
// absent. Its errors come in their place (§1.12).
type PolicyText func() (*string, error)

// draft is a policy on its way into the rows.
type draft struct {
	kind      policy.Kind
	text      string
	doc       *policy.Document
	malformed error // the refusal, if it is certain before the vault is known
	warnings  []policy.Warning
}

// newDraft reads a policy. That takes a while for a long one, so it is done
// before the transaction, although its refusal comes later.
func newDraft(sent PolicyText, kind policy.Kind) *draft {
	d := &draft{kind: kind}
	text, err := sent()
	switch {
	case err != nil:
		d.malformed = err
	case text == nil:
		d.malformed = missing("Policy")
	default:
		d.text = *text
		d.doc, err = policy.Parse([]byte(d.text))
		d.malformed = badPolicy(err, kind)
	}
	return d
}

// check refuses a policy that is not fit for the vault of an ARN
// (access-control §3.6).
func (d *draft) check(arn string) (err error) {
	if d.malformed != nil {
		return d.malformed
	}
	d.warnings, err = policy.Validate(d.doc, policy.Target{Kind: d.kind, Vault: arn})
	return badPolicy(err, d.kind)
}

// warn logs what is odd in a policy that was accepted.
func (s *Service) warn(ctx context.Context, name string, d *draft) {
	for _, w := range d.warnings {
		s.cfg.Log.WarnContext(ctx, "policy may not mean what its author thinks",
			"kind", d.kind.String(), "vault", name, "pointer", w.Pointer, "reason", w.Reason)
	}
}

// badPolicy is the refusal of a policy.
func badPolicy(err error, kind policy.Kind) error {
	var fault *policy.Error
	if errors.As(err, &fault) {
		return moraine.Errorf(moraine.Invalid, "%s", fault.Message(kind))
	}
	return err
}

// enterWithPolicy is enter for an operation that brings a policy, which it
// returns bound to the principals of now.
func (s *Service) enterWithPolicy(tx meta.Tx, call access.Call, action, name string, d *draft) (moraine.Vault, moraine.VaultPolicy, error) {
	var p moraine.VaultPolicy
	grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: action, Vault: name})
	if err != nil {
		return moraine.Vault{}, p, err
	}
	if err := d.check(moraine.VaultARN(call.Region, grant.Account, name)); err != nil {
		return moraine.Vault{}, p, err
	}
	v, err := grant.Vault()
	if err != nil {
		return v, p, err
	}
	p, err = access.Bind(tx, d.doc, d.text)
	return v, p, badPolicy(err, d.kind)
}

// SetVaultAccessPolicy gives a vault an access policy in place of the one it
// has (§10.4). The text is kept byte for byte.
func (s *Service) SetVaultAccessPolicy(ctx context.Context, call access.Call, name string, sent PolicyText) error {
	d := newDraft(sent, policy.AccessPolicy)
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, p, err := s.enterWithPolicy(tx, call, "SetVaultAccessPolicy", name, d)
		if err != nil {
			return err
		}
		if err := tx.Documents().SetAccessPolicy(v.ID, &p); err != nil {
			return err
		}
		return revise(tx, &v)
	})
	if err == nil {
		s.warn(ctx, name, d)
	}
	return err
}

// GetVaultAccessPolicy returns the text of a vault's access policy (§10.4).
func (s *Service) GetVaultAccessPolicy(ctx context.Context, call access.Call, name string) (string, error) {
	var text string
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "GetVaultAccessPolicy", name, nil)
		if err != nil {
			return err
		}
		p, err := tx.Documents().AccessPolicy(v.ID)
		if errors.Is(err, meta.ErrNotFound) {
			return moraine.Errorf(moraine.NotFound, "No vault access policy is set for: %s", name)
		}
		text = p.Text
		return err
	})
	return text, err
}

// DeleteVaultAccessPolicy removes the access policy of a vault; that there is
// none is no error (§10.4).
func (s *Service) DeleteVaultAccessPolicy(ctx context.Context, call access.Call, name string) error {
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "DeleteVaultAccessPolicy", name, nil)
		if err != nil {
			return err
		}
		if err := tx.Documents().SetAccessPolicy(v.ID, nil); err != nil {
			return err
		}
		return revise(tx, &v)
	})
}

// revise gives a vault whose documents have changed its new revision. Until it
// has, decisions on the vault in this transaction may go by the old documents.
func revise(tx meta.Tx, v *moraine.Vault) error {
	bare, err := isBare(tx, v.ID)
	if err != nil {
		return err
	}
	if v.Revision = 0; !bare {
		v.Revision = moraine.NewRevision()
	}
	return tx.Vaults().Save(*v)
}

// isBare reports whether a vault has no documents.
func isBare(tx meta.Tx, v moraine.VaultID) (bool, error) {
	tags, err := tx.Documents().Tags(v)
	if err != nil || len(tags) > 0 {
		return false, err
	}
	if _, err := tx.Documents().AccessPolicy(v); !errors.Is(err, meta.ErrNotFound) {
		return false, err
	}
	if _, err := tx.Documents().Locks().Get(v); !errors.Is(err, meta.ErrNotFound) {
		return false, err
	}
	return true, nil
}
