package api

import (
	"net/http"

	"moraine/internal/vault"
)

// policyText returns the decoder of a request that brings a policy: the field
// Policy, a document as a string.
func (c *call) policyText() vault.PolicyText {
	return func() (*string, error) {
		top, err := decodeObject(c.auth.Body)
		if err != nil {
			return nil, err
		}
		if !top.has("Policy") {
			return nil, nil
		}
		text := new(string)
		top.text("Policy", text)
		return text, *top.err
	}
}

func (s *Server) setVaultAccessPolicy(c *call) error {
	if err := s.cfg.Vaults.SetVaultAccessPolicy(c.r.Context(), c.who, c.target.vault, c.policyText()); err != nil {
		return err
	}
	return c.done()
}

func (s *Server) getVaultAccessPolicy(c *call) error {
	text, err := s.cfg.Vaults.GetVaultAccessPolicy(c.r.Context(), c.who, c.target.vault)
	if err != nil {
		return err
	}
	return c.ok(struct{ Policy string }{text})
}

func (s *Server) deleteVaultAccessPolicy(c *call) error {
	if err := s.cfg.Vaults.DeleteVaultAccessPolicy(c.r.Context(), c.who, c.target.vault); err != nil {
		return err
	}
	return c.done()
}

func (s *Server) initiateVaultLock(c *call) error {
	id, err := s.cfg.Vaults.InitiateVaultLock(c.r.Context(), c.who, c.target.vault, c.policyText())
	if err != nil {
		return err
	}
	return c.created(http.StatusCreated, "", "x-amz-lock-id", id)
}

func (s *Server) completeVaultLock(c *call) error {
	if err := s.cfg.Vaults.CompleteVaultLock(c.r.Context(), c.who, c.target.vault, c.target.id); err != nil {
		return err
	}
	return c.done()
}

func (s *Server) abortVaultLock(c *call) error {
	if err := s.cfg.Vaults.AbortVaultLock(c.r.Context(), c.who, c.target.vault); err != nil {
		return err
	}
	return c.done()
}

func (s *Server) getVaultLock(c *call) error {
	l, err := s.cfg.Vaults.GetVaultLock(c.r.Context(), c.who, c.target.vault)
	if err != nil {
		return err
	}
	return c.ok(struct {
		CreationDate   *string
		ExpirationDate *string
		Policy         string
		State          string
	}{millis(l.Created), millis(l.Expires), l.Policy.Text, string(l.State)})
}
