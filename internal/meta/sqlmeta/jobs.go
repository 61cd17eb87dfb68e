package sqlmeta

import (
	"cmp"
	"database/sql"
	"errors"
	"slices"
	"time"

	"moraine"
	"moraine/internal/meta"
)

const jobColumns = `job_id, vault_id, body_id, action, state, tier, description, sns_topic,
created_ms, due_ms, completed_ms, expires_ms, output_size, lease_owner, lease_until_ms,
archive_id, archive_description, archive_size, archive_tree_hash, range_first, range_last, range_tree_hash,
list_format, list_start_ms, list_end_ms, list_limit, list_marker, list_snapshot_ms, list_next`

const (
	jobGet  = `SELECT ` + jobColumns + ` FROM jobs WHERE job_id = $1`
	jobSave = `INSERT INTO jobs (` + jobColumns + `, ready_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
$11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)
ON CONFLICT (job_id) DO UPDATE SET vault_id = excluded.vault_id, body_id = excluded.body_id, action = excluded.action,
state = excluded.state, tier = excluded.tier, description = excluded.description, sns_topic = excluded.sns_topic,
created_ms = excluded.created_ms, due_ms = excluded.due_ms, completed_ms = excluded.completed_ms,
expires_ms = excluded.expires_ms, output_size = excluded.output_size, lease_owner = excluded.lease_owner,
lease_until_ms = excluded.lease_until_ms, archive_id = excluded.archive_id,
archive_description = excluded.archive_description, archive_size = excluded.archive_size,
archive_tree_hash = excluded.archive_tree_hash, range_first = excluded.range_first, range_last = excluded.range_last,
range_tree_hash = excluded.range_tree_hash, list_format = excluded.list_format, list_start_ms = excluded.list_start_ms,
list_end_ms = excluded.list_end_ms, list_limit = excluded.list_limit, list_marker = excluded.list_marker,
list_snapshot_ms = excluded.list_snapshot_ms, list_next = excluded.list_next, ready_ms = excluded.ready_ms`

	jobList = `SELECT ` + jobColumns + ` FROM jobs
WHERE vault_id = $1 AND (created_ms, job_id) < ($2, $3) AND state IN ($4, $5, $6)
AND (state = 'InProgress' OR expires_ms IS NULL OR expires_ms > $7)
ORDER BY created_ms DESC, job_id DESC LIMIT $8`

	// jobClaim passes over the jobs that are leased: no more than there are
	// workers. It selects once: a selection that is made anew for each row of
	// the table would pass over what is claimed already, and find others.
	jobClaim = `WITH claimed AS MATERIALIZED (SELECT job_id FROM jobs WHERE state = 'InProgress' AND due_ms <= $3
AND (lease_until_ms IS NULL OR lease_until_ms <= $3) ORDER BY due_ms, job_id LIMIT $4` + skipLocked + `)
UPDATE jobs SET lease_owner = $1, lease_until_ms = $2, ready_ms = CASE WHEN due_ms > $2 THEN due_ms ELSE $2 END
WHERE job_id IN (SELECT job_id FROM claimed) RETURNING ` + jobColumns

	jobHasten = `UPDATE jobs SET due_ms = $2, ready_ms = CASE WHEN lease_until_ms > $2 THEN lease_until_ms ELSE $2 END
WHERE body_id = $1 AND state = 'InProgress' AND due_ms > $2`

	jobHold = `UPDATE jobs SET held_ms = CASE WHEN held_ms > $2 THEN held_ms ELSE $2 END WHERE job_id = $1`

	jobNextDue = `SELECT ready_ms FROM jobs WHERE ready_ms IS NOT NULL ORDER BY ready_ms LIMIT 1`
	jobCount   = `SELECT state, count(*) FROM jobs GROUP BY state`
)

// jobs is meta.Jobs.
type jobs struct{ t *tx }

// details are the columns that depend on the action of a job.
type details struct {
	retrieval moraine.Retrieval
	inventory moraine.Inventory
	rangeHash sql.Null[[]byte]
}

func readJob(row scanner, j *moraine.Job) error {
	var d details
	r, i := &d.retrieval, &d.inventory
	err := row.Scan((*string)(&j.ID), (*string)(&j.Vault), (*string)(&j.Body), (*string)(&j.Action), (*string)(&j.State),
		(*string)(&j.Tier), &j.Description, &j.SNSTopic, (*instant)(&j.Created), (*instant)(&j.Due), (*instant)(&j.Completed),
		(*instant)(&j.Expires), &j.Output, &j.LeaseOwner, (*instant)(&j.LeaseUntil),
		(*text)(&r.Archive), (*text)(&r.ArchiveDescription), (*whole)(&r.ArchiveSize), (*digest)(&r.ArchiveTreeHash),
		(*whole)(&r.First), (*whole)(&r.Last), &d.rangeHash,
		(*text)(&i.Format), (*instant)(&i.Start), (*instant)(&i.End), (*whole)(&i.Limit), (*text)(&i.Marker),
		(*instant)(&i.Snapshot), (*text)(&i.Next))
	if err != nil {
		return err
	}
	if j.Action == moraine.InventoryRetrieval {
		j.Inventory = i
		return nil
	}
	if d.rangeHash.Valid {
		r.TreeHash = new(moraine.TreeHash)
		err = fill(r.TreeHash[:], d.rangeHash.V)
	}
	j.Retrieval = r
	return err
}

func (s jobs) Get(id moraine.JobID) (moraine.Job, error) {
	return one(s.t, readJob, jobGet, string(id))
}

func (s jobs) Save(j moraine.Job) error {
	archive, list, err := detailArgs(j)
	if err != nil {
		return s.t.doom(err)
	}
	args := []any{
		string(j.ID), string(j.Vault), string(j.Body), string(j.Action), string(j.State), string(j.Tier), j.Description,
		j.SNSTopic, millis(j.Created), millis(j.Due), millis(j.Completed), millis(j.Expires), j.Output, j.LeaseOwner,
		millis(j.LeaseUntil),
	}
	args = append(args, archive[:]...)
	args = append(args, list[:]...)
	_, err = s.t.exec(jobSave, append(args, millis(ready(j)))...)
	return err
}

// detailArgs are the columns that depend on the action; those of the other
// action stay NULL.
func detailArgs(j moraine.Job) (archive, list [7]any, err error) {
	switch {
	case j.Action == moraine.ArchiveRetrieval && j.Retrieval != nil:
		r := j.Retrieval
		archive = [7]any{
			string(r.Archive), r.ArchiveDescription, r.ArchiveSize, r.ArchiveTreeHash[:], r.First, r.Last, nil,
		}
		if r.TreeHash != nil {
			archive[6] = r.TreeHash[:]
		}
	case j.Action == moraine.InventoryRetrieval && j.Inventory != nil:
		i := j.Inventory
		list = [7]any{
			string(i.Format), millis(i.Start), millis(i.End), i.Limit, i.Marker, millis(i.Snapshot), i.Next,
		}
	default:
		err = moraine.Wrap(errors.New("action "+string(j.Action)+" without its details"), moraine.Internal, "a row is refused")
	}
	return archive, list, err
}

// ready is the instant from which Claim may hand out a job, zero if never. It is
// a column of its own so that NextDue is a look at an index.
func ready(j moraine.Job) time.Time {
	switch {
	case j.State != moraine.InProgress:
		return time.Time{}
	case j.LeaseUntil.After(j.Due):
		return j.LeaseUntil
	}
	return j.Due
}

func (s jobs) List(q meta.JobList) ([]moraine.Job, error) {
	var states [3]string // as many as there are; "" is none of them
	for i, state := range [...]moraine.JobState{moraine.InProgress, moraine.Succeeded, moraine.Failed} {
		if len(q.States) == 0 || slices.Contains(q.States, state) {
			states[i] = string(state)
		}
	}
	return many(s.t, readJob, jobList, string(q.Vault), millisOr(q.BeforeCreated, latest), string(q.BeforeID),
		states[0], states[1], states[2], millisOr(q.Now, earliest), bound(q.Limit))
}

func (s jobs) Claim(owner string, now, until time.Time, limit int) ([]moraine.Job, error) {
	list, err := many(s.t, readJob, jobClaim, owner, millis(until), millis(now), bound(limit))
	slices.SortFunc(list, func(a, b moraine.Job) int { // RETURNING promises no order
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
	})
	return list, err
}

func (s jobs) Hasten(b moraine.BodyID, at time.Time) error {
	_, err := s.t.exec(jobHasten, string(b), millis(at))
	return err
}

func (s jobs) Hold(id moraine.JobID, until time.Time) error {
	return s.t.execOne(jobHold, string(id), millis(until))
}

func (s jobs) NextDue() (at time.Time, ok bool, err error) {
	ms, err := one(s.t, number, jobNextDue)
	if errors.Is(err, meta.ErrNotFound) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	return time.UnixMilli(ms).UTC(), true, nil
}

// tally is a state and how many jobs are in it.
type tally struct {
	state moraine.JobState
	n     int64
}

func (s jobs) CountByState() (map[moraine.JobState]int64, error) {
	list, err := many(s.t, func(row scanner, v *tally) error { return row.Scan((*string)(&v.state), &v.n) }, jobCount)
	if err != nil {
		return nil, err
	}
	counts := make(map[moraine.JobState]int64, len(list))
	for _, v := range list {
		counts[v.state] = v.n
	}
	return counts, nil
}

var _ meta.Jobs = jobs{}
