package vault

import (
	"context"
	"errors"
	"slices"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
)

// NotificationParameters are the fields of a SetVaultNotifications request
// (§9.1) as sent; "" and nil mean absent, as null does.
type NotificationParameters struct {
	SNSTopic string
	Events   []string
}

// check returns the configuration that p asks for.
func (p NotificationParameters) check() (moraine.Notifications, error) {
	n := moraine.Notifications{Topic: p.SNSTopic}
	switch {
	case p.SNSTopic == "":
		return n, missing("snsTopic")
	case p.Events == nil:
		return n, missing("events")
	case !moraine.ValidTopic(p.SNSTopic):
		return n, moraine.Errorf(moraine.Invalid, "Invalid SNSTopic: %s", p.SNSTopic)
	case len(p.Events) == 0:
		return n, moraine.Errorf(moraine.Invalid, "Invalid Events: []")
	}
	for _, name := range p.Events {
		switch e := moraine.Event(name); {
		case e != moraine.ArchiveRetrievalCompleted && e != moraine.InventoryRetrievalCompleted:
			return n, moraine.Errorf(moraine.Invalid, "Invalid Events: %s", name)
		case !slices.Contains(n.Events, e): // duplicates are collapsed
			n.Events = append(n.Events, e)
		}
	}
	return n, nil
}

// SetVaultNotifications gives a vault a configuration of notifications in place
// of the one it has (§9.1). params decodes the request; its errors come in
// their place (§1.12). Whether the topic exists is not asked.
func (s *Service) SetVaultNotifications(ctx context.Context, call access.Call, name string, params func() (NotificationParameters, error)) error {
	p, malformed := params()
	var n moraine.Notifications
	check := func() (err error) {
		if malformed != nil {
			return malformed
		}
		n, err = p.check()
		return err
	}
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "SetVaultNotifications", name, check)
		if err != nil {
			return err
		}
		return tx.Documents().Notifications().Save(v.ID, n)
	})
}

// GetVaultNotifications returns the configuration of a vault's notifications
// (§9.1).
func (s *Service) GetVaultNotifications(ctx context.Context, call access.Call, name string) (moraine.Notifications, error) {
	var n moraine.Notifications
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "GetVaultNotifications", name, nil)
		if err != nil {
			return err
		}
		n, err = tx.Documents().Notifications().Get(v.ID)
		if errors.Is(err, meta.ErrNotFound) {
			return moraine.Errorf(moraine.NotFound, "No notification configuration is set for vault: %s", v.ARN())
		}
		return err
	})
	return n, err
}

// DeleteVaultNotifications removes the configuration of a vault's
// notifications; that there is none is no error (§9.1).
func (s *Service) DeleteVaultNotifications(ctx context.Context, call access.Call, name string) error {
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "DeleteVaultNotifications", name, nil)
		if err != nil {
			return err
		}
		return tx.Documents().Notifications().Drop(v.ID)
	})
}
