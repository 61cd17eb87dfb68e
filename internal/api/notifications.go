package api

import (
	"moraine"
	"moraine/internal/vault"
)

func (s *Server) setVaultNotifications(c *call) error {
	err := s.cfg.Vaults.SetVaultNotifications(c.r.Context(), c.who, c.target.vault,
		func() (vault.NotificationParameters, error) { return decodeNotifications(c.auth.Body) })
	if err != nil {
		return err
	}
	return c.done()
}

// decodeNotifications reads the body of SetVaultNotifications (§9.1).
func decodeNotifications(body []byte) (vault.NotificationParameters, error) {
	var p vault.NotificationParameters
	top, err := decodeObject(body)
	if err != nil {
		return p, err
	}
	top.text("SNSTopic", &p.SNSTopic)
	p.Events = top.texts("Events")
	return p, *top.err
}

func (s *Server) getVaultNotifications(c *call) error {
	n, err := s.cfg.Vaults.GetVaultNotifications(c.r.Context(), c.who, c.target.vault)
	if err != nil {
		return err
	}
	return c.ok(struct {
		Events   []moraine.Event
		SNSTopic string
	}{n.Events, n.Topic})
}

func (s *Server) deleteVaultNotifications(c *call) error {
	if err := s.cfg.Vaults.DeleteVaultNotifications(c.r.Context(), c.who, c.target.vault); err != nil {
		return err
	}
	return c.done()
}
