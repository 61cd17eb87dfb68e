package api

import (
	"net/http"

	"moraine"
	"moraine/internal/vault"
)

// vaultJSON is a vault in DescribeVault and ListVaults (§3.2).
type vaultJSON struct {
	CreationDate      *string
	LastInventoryDate *string
	NumberOfArchives  int64
	SizeInBytes       int64
	VaultARN          string
	VaultName         string
}

func toVaultJSON(d vault.Description) vaultJSON {
	return vaultJSON{
		CreationDate:      millis(d.Vault.Created),
		LastInventoryDate: millis(d.LastInventory),
		NumberOfArchives:  d.Figures.Archives,
		SizeInBytes:       d.Figures.SizeInBytes(),
		VaultARN:          d.Vault.ARN(),
		VaultName:         string(d.Vault.Name),
	}
}

func (s *Server) createVault(c *call) error {
	v, err := s.cfg.Vaults.CreateVault(c.r.Context(), c.who, c.target.vault)
	if err != nil {
		return err
	}
	return c.created(http.StatusCreated, location(&v, "", ""))
}

func (s *Server) describeVault(c *call) error {
	d, err := s.cfg.Vaults.DescribeVault(c.r.Context(), c.who, c.target.vault)
	if err != nil {
		return err
	}
	return c.ok(toVaultJSON(d))
}

func (s *Server) listVaults(c *call) error {
	page, next, err := s.cfg.Vaults.ListVaults(c.r.Context(), c.who, c.query.Get("limit"), c.query.Get("marker"))
	if err != nil {
		return err
	}
	list := struct {
		Marker    *string
		VaultList []vaultJSON
	}{orNull(next), make([]vaultJSON, 0, len(page))}
	for _, d := range page {
		list.VaultList = append(list.VaultList, toVaultJSON(d))
	}
	return c.ok(list)
}

func (s *Server) deleteVault(c *call) error {
	if err := s.cfg.Vaults.DeleteVault(c.r.Context(), c.who, c.target.vault); err != nil {
		return err
	}
	return c.done()
}

// uploadRequest reads the headers that come with a body.
func (c *call) uploadRequest() vault.UploadRequest {
	return vault.UploadRequest{
		ContentLength: c.r.ContentLength,
		CheckSHA256:   c.auth.CheckPayload,
		TreeHash:      c.header("x-amz-sha256-tree-hash"),
		Description:   c.header("x-amz-archive-description"),
		ContentRange:  c.header("Content-Range"),
	}
}

// archiveCreated answers a finished upload, single or multipart.
func (c *call) archiveCreated(v *moraine.Vault, a *moraine.Archive) error {
	return c.created(http.StatusCreated, location(v, "archives", string(a.ID)),
		"x-amz-archive-id", string(a.ID), "x-amz-sha256-tree-hash", a.TreeHash.String())
}

func (s *Server) uploadArchive(c *call) error {
	v, a, err := s.cfg.Vaults.UploadArchive(c.r.Context(), c.who, c.target.vault, c.uploadRequest(), c.body)
	if err != nil {
		return err
	}
	return c.archiveCreated(&v, &a)
}

func (s *Server) deleteArchive(c *call) error {
	err := s.cfg.Vaults.DeleteArchive(c.r.Context(), c.who, c.target.vault, moraine.ArchiveID(c.target.id))
	if err != nil {
		return err
	}
	return c.done()
}
