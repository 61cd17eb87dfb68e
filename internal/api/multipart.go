package api

import (
	"net/http"

	"moraine"
)

func (s *Server) initiateMultipartUpload(c *call) error {
	v, u, err := s.cfg.Vaults.InitiateMultipartUpload(c.r.Context(), c.who, c.target.vault,
		c.header("x-amz-part-size"), c.header("x-amz-archive-description"))
	if err != nil {
		return err
	}
	return c.created(http.StatusCreated, location(&v, "multipart-uploads", string(u.ID)),
		"x-amz-multipart-upload-id", string(u.ID))
}

func (s *Server) uploadMultipartPart(c *call) error {
	hash, err := s.cfg.Vaults.UploadPart(c.r.Context(), c.who, c.target.vault,
		moraine.UploadID(c.target.id), c.uploadRequest(), c.body)
	if err != nil {
		return err
	}
	return c.done("x-amz-sha256-tree-hash", hash.String())
}

func (s *Server) completeMultipartUpload(c *call) error {
	v, a, err := s.cfg.Vaults.CompleteMultipartUpload(c.r.Context(), c.who, c.target.vault,
		moraine.UploadID(c.target.id), c.header("x-amz-archive-size"), c.header("x-amz-sha256-tree-hash"))
	if err != nil {
		return err
	}
	return c.archiveCreated(&v, &a)
}

func (s *Server) abortMultipartUpload(c *call) error {
	err := s.cfg.Vaults.AbortMultipartUpload(c.r.Context(), c.who, c.target.vault, moraine.UploadID(c.target.id))
	if err != nil {
		return err
	}
	return c.done()
}

// uploadJSON is an upload in ListMultipartUploads (§5.6).
type uploadJSON struct {
	ArchiveDescription *string
	CreationDate       *string
	MultipartUploadId  string //nolint:revive // the key on the wire
	PartSizeInBytes    int64
	VaultARN           string
}

func (s *Server) listMultipartUploads(c *call) error {
	v, page, next, err := s.cfg.Vaults.ListMultipartUploads(c.r.Context(), c.who, c.target.vault,
		c.query.Get("limit"), c.query.Get("marker"))
	if err != nil {
		return err
	}
	list := struct {
		Marker      *string
		UploadsList []uploadJSON
	}{orNull(next), make([]uploadJSON, 0, len(page))}
	for _, u := range page {
		list.UploadsList = append(list.UploadsList, uploadJSON{
			ArchiveDescription: orNull(u.Description), CreationDate: millis(u.Created),
			MultipartUploadId: string(u.ID), PartSizeInBytes: u.PartSize, VaultARN: v.ARN(),
		})
	}
	return c.ok(list)
}

// partJSON is a part in ListParts (§5.5).
type partJSON struct {
	RangeInBytes   string
	SHA256TreeHash string
}

func (s *Server) listParts(c *call) error {
	v, u, page, next, err := s.cfg.Vaults.ListParts(c.r.Context(), c.who, c.target.vault,
		moraine.UploadID(c.target.id), c.query.Get("limit"), c.query.Get("marker"))
	if err != nil {
		return err
	}
	list := struct {
		ArchiveDescription *string
		CreationDate       *string
		Marker             *string
		MultipartUploadId  string //nolint:revive // the key on the wire
		PartSizeInBytes    int64
		Parts              []partJSON
		VaultARN           string
	}{
		orNull(u.Description), millis(u.Created), orNull(next), string(u.ID), u.PartSize,
		make([]partJSON, 0, len(page)), v.ARN(),
	}
	for _, p := range page {
		list.Parts = append(list.Parts, partJSON{
			RangeInBytes:   itoa(p.First) + "-" + itoa(p.First+p.Size-1),
			SHA256TreeHash: p.TreeHash.String(),
		})
	}
	return c.ok(list)
}
