package job

import (
	"context"
	"errors"
	"strings"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
)

// find returns a job of v that is not past its expiry, or the NotFound error a
// client sees (§7.4, §7.5).
func (s *Service) find(tx meta.Tx, v *moraine.Vault, id moraine.JobID) (moraine.Job, error) {
	j, err := tx.Jobs().Get(id)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return j, err
	}
	if err != nil || j.Vault != v.ID || j.State != moraine.InProgress && !s.now().Before(j.Expires) {
		return j, noJob(id)
	}
	return j, nil
}

func noJob(id moraine.JobID) error {
	return moraine.Errorf(moraine.NotFound, "The job ID was not found: %s", id)
}

// DescribeJob returns a job (§7.4).
func (s *Service) DescribeJob(ctx context.Context, call access.Call, name string, id moraine.JobID) (moraine.Vault, moraine.Job, error) {
	var v moraine.Vault
	var j moraine.Job
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "DescribeJob", Vault: name})
		if err != nil {
			return err
		}
		if v, err = grant.Vault(); err != nil {
			return err
		}
		j, err = s.find(tx, &v, id)
		return err
	})
	return v, j, err
}

// ListRequest holds the parameters of ListJobs as sent, "" if absent (§7.6).
type ListRequest struct {
	Completed, StatusCode, Limit, Marker string
}

// ListJobs returns a page of the jobs of a vault, newest first, and the marker
// of the next page, or "" (§7.6).
func (s *Service) ListJobs(ctx context.Context, call access.Call, name string, req ListRequest) (moraine.Vault, []moraine.Job, string, error) {
	var v moraine.Vault
	var page []moraine.Job
	var next string
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		page, next = nil, ""
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "ListJobs", Vault: name})
		if err != nil {
			return err
		}
		list, none, err := req.parse()
		if err != nil {
			return err
		}
		if v, err = grant.Vault(); err != nil || none {
			return err
		}
		list.Vault, list.Now = v.ID, s.now()
		n := list.Limit
		list.Limit++
		if page, err = tx.Jobs().List(list); err != nil {
			return err
		}
		if len(page) > n {
			page = page[:n]
			last := page[n-1]
			next = moraine.Position{Created: last.Created, ID: string(last.ID)}.Marker()
		}
		return nil
	})
	return v, page, next, err
}

// parse checks the parameters. none means that no job can match.
func (r ListRequest) parse() (list meta.JobList, none bool, err error) {
	if list.Limit, err = moraine.PageLimit(r.Limit, moraine.ListPageMax); err != nil {
		return list, false, err
	}
	pos, err := moraine.ParsePosition(r.Marker)
	if err != nil {
		return list, false, err
	}
	list.BeforeCreated, list.BeforeID = pos.Created, moraine.JobID(pos.ID)
	wanted := map[moraine.JobState]bool{moraine.InProgress: true, moraine.Succeeded: true, moraine.Failed: true}
	switch strings.ToLower(r.Completed) {
	case "":
	case "true":
		delete(wanted, moraine.InProgress)
	case "false":
		delete(wanted, moraine.Succeeded)
		delete(wanted, moraine.Failed)
	default:
		return list, false, invalid("completed", r.Completed)
	}
	switch state := moraine.JobState(r.StatusCode); state {
	case "":
	case moraine.InProgress, moraine.Succeeded, moraine.Failed:
		wanted = map[moraine.JobState]bool{state: wanted[state]}
	default:
		return list, false, moraine.Errorf(moraine.Invalid, "The job status code is not valid: %s", r.StatusCode)
	}
	for _, state := range []moraine.JobState{moraine.InProgress, moraine.Succeeded, moraine.Failed} {
		if wanted[state] {
			list.States = append(list.States, state)
		}
	}
	return list, len(list.States) == 0, nil
}
