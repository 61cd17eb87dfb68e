package proof_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
)

// state is what a client knows of its vault; nil if there is none.
type state struct {
	Archives map[string]archive
	Uploads  map[string]upload
	Jobs     map[string]order
	Tags     map[string]string
	Policy   string
	Topic    string
	Lock     string // its state
}

type archive struct {
	Desc string
	Size int64
	Tree string
}

type upload struct {
	Desc     string
	PartSize int64
	Parts    map[string]string // tree hash by range
}

type order struct {
	Archive string // "" for an inventory
	Done    bool   // that it had ended was heard
}

func newState() *state {
	return &state{
		Archives: map[string]archive{}, Uploads: map[string]upload{}, Jobs: map[string]order{}, Tags: map[string]string{},
	}
}

func (s *state) clone() *state {
	if s == nil {
		return nil
	}
	c := *s
	c.Archives, c.Jobs, c.Tags = maps.Clone(s.Archives), maps.Clone(s.Jobs), maps.Clone(s.Tags)
	c.Uploads = make(map[string]upload)
	for id, u := range s.Uploads {
		u.Parts = maps.Clone(u.Parts)
		c.Uploads[id] = u
	}
	return &c
}

// read asks a server for all it has of a vault.
func read(ctx context.Context, p *proc, vault string) (*state, error) {
	base := "/-/vaults/" + vault
	p.clock.tick()
	rep, err := p.do(ctx, request{method: http.MethodGet, path: base})
	if err != nil {
		return nil, err
	}
	if rep.status == http.StatusNotFound {
		return nil, nil //nolint:nilnil // there is no vault
	}
	if rep.status != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %d %s", base, rep.status, rep.body)
	}
	var figures struct{ NumberOfArchives, SizeInBytes int64 }
	if err := json.Unmarshal(rep.body, &figures); err != nil {
		return nil, err
	}
	s := newState()
	for _, part := range []func(context.Context, *proc, string) error{
		s.readTags, s.readDocuments, s.readUploads, s.readJobs, s.readInventory,
	} {
		if err := part(ctx, p, base); err != nil {
			return nil, err
		}
	}
	if int(figures.NumberOfArchives) != len(s.Archives) {
		return nil, fmt.Errorf("%s has %d archives by its figures, %d by its inventory", vault, figures.NumberOfArchives, len(s.Archives))
	}
	var size int64
	for _, a := range s.Archives {
		size += a.Size
	}
	if figures.SizeInBytes < size {
		return nil, fmt.Errorf("%s has %d bytes by its figures, %d by its inventory", vault, figures.SizeInBytes, size)
	}
	return s, nil
}

func (s *state) readTags(ctx context.Context, p *proc, base string) error {
	var list struct{ Tags map[string]string }
	err := p.getJSON(ctx, base+"/tags", &list)
	maps.Copy(s.Tags, list.Tags)
	return err
}

func (s *state) readDocuments(ctx context.Context, p *proc, base string) error {
	for _, d := range []struct {
		path string
		take func(text []byte) error
	}{
		{"/access-policy", func(text []byte) error {
			var doc struct{ Policy string }
			err := json.Unmarshal(text, &doc)
			s.Policy = doc.Policy
			return err
		}},
		{"/lock-policy", func(text []byte) error {
			var doc struct{ State string }
			err := json.Unmarshal(text, &doc)
			s.Lock = doc.State
			return err
		}},
		{"/notification-configuration", func(text []byte) error {
			var doc struct{ SNSTopic string }
			err := json.Unmarshal(text, &doc)
			s.Topic = doc.SNSTopic
			return err
		}},
	} {
		rep, err := p.do(ctx, request{method: http.MethodGet, path: base + d.path})
		if err != nil {
			return err
		}
		switch rep.status {
		case http.StatusNotFound:
		case http.StatusOK:
			if err := d.take(rep.body); err != nil {
				return err
			}
		default:
			return fmt.Errorf("GET %s: %d %s", base+d.path, rep.status, rep.body)
		}
	}
	return nil
}

func (s *state) readUploads(ctx context.Context, p *proc, base string) error {
	var list struct {
		UploadsList []struct {
			ArchiveDescription *string
			MultipartUploadId  string
			PartSizeInBytes    int64
		}
	}
	if err := p.getJSON(ctx, base+"/multipart-uploads", &list); err != nil {
		return err
	}
	for _, u := range list.UploadsList {
		var parts struct {
			Parts []struct{ RangeInBytes, SHA256TreeHash string }
		}
		if err := p.getJSON(ctx, base+"/multipart-uploads/"+u.MultipartUploadId, &parts); err != nil {
			return err
		}
		up := upload{PartSize: u.PartSizeInBytes, Parts: map[string]string{}}
		if u.ArchiveDescription != nil {
			up.Desc = *u.ArchiveDescription
		}
		for _, part := range parts.Parts {
			up.Parts[part.RangeInBytes] = part.SHA256TreeHash
		}
		s.Uploads[u.MultipartUploadId] = up
	}
	return nil
}

func (s *state) readJobs(ctx context.Context, p *proc, base string) error {
	var list struct {
		JobList []struct {
			JobId      string
			ArchiveId  *string
			Completed  bool
			StatusCode string
		}
	}
	if err := p.getJSON(ctx, base+"/jobs", &list); err != nil {
		return err
	}
	for _, j := range list.JobList {
		is := order{Done: j.Completed}
		if j.ArchiveId != nil {
			is.Archive = *j.ArchiveId
		}
		if j.StatusCode == "Failed" {
			return fmt.Errorf("job %s failed", j.JobId)
		}
		s.Jobs[j.JobId] = is
	}
	return nil
}

// readInventory makes a job, which is not among those that were read.
func (s *state) readInventory(ctx context.Context, p *proc, base string) error {
	out, err := output(ctx, p, base, `{"Type":"inventory-retrieval","Format":"JSON"}`)
	if err != nil {
		return err
	}
	var list struct {
		ArchiveList []struct {
			ArchiveId, ArchiveDescription, SHA256TreeHash string
			Size                                          int64
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return err
	}
	for _, a := range list.ArchiveList {
		s.Archives[a.ArchiveId] = archive{a.ArchiveDescription, a.Size, a.SHA256TreeHash}
	}
	return nil
}

// output runs a job to its end and returns its output.
func output(ctx context.Context, p *proc, base, what string) ([]byte, error) {
	p.clock.tick()
	rep, err := p.do(ctx, request{method: http.MethodPost, path: base + "/jobs", body: []byte(what)})
	if err != nil {
		return nil, err
	}
	if rep.status != http.StatusAccepted {
		return nil, fmt.Errorf("%s: %d %s", what, rep.status, rep.body)
	}
	path := base + "/jobs/" + rep.header.Get("X-Amz-Job-Id")
	ended, err := p.await(ctx, path)
	if err != nil || ended != "Succeeded" {
		return nil, errors.Join(err, fmt.Errorf("%s: %s", what, ended))
	}
	rep, err = p.do(ctx, request{method: http.MethodGet, path: path + "/output"})
	if err != nil || rep.status != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("%s: %d %s", what, rep.status, rep.body))
	}
	return rep.body, nil
}
