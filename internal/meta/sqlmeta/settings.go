package sqlmeta

import (
	"time"

	"moraine"
	"moraine/internal/meta"
)

const (
	retrievalPolicyGet  = `SELECT strategy, bytes_per_hour FROM retrieval_policies WHERE account = $1 AND region = $2`
	retrievalPolicySave = `INSERT INTO retrieval_policies (account, region, strategy, bytes_per_hour) VALUES ($1, $2, $3, $4)
ON CONFLICT (account, region) DO UPDATE SET strategy = excluded.strategy, bytes_per_hour = excluded.bytes_per_hour`

	// loadNow looks at the jobs in progress, of whichever account.
	loadNow = `SELECT count(*), CAST(COALESCE(sum(output_size), 0) AS BIGINT) FROM jobs
WHERE state = 'InProgress' AND action = 'ArchiveRetrieval' AND tier = $3 AND EXISTS
(SELECT 1 FROM vaults WHERE vaults.vault_id = jobs.vault_id AND vaults.account = $1 AND vaults.region = $2)`
	// loadSince goes from vault to vault; the join is written so that it does.
	loadSince = `SELECT count(*), CAST(COALESCE(sum(jobs.output_size), 0) AS BIGINT) FROM vaults CROSS JOIN jobs
WHERE vaults.account = $1 AND vaults.region = $2 AND jobs.vault_id = vaults.vault_id AND jobs.created_ms >= $4
AND jobs.action = 'ArchiveRetrieval' AND jobs.tier = $3`

	capacityList = `SELECT unit_id, account, region, start_ms, expires_ms FROM capacity_units
WHERE account = $1 AND region = $2 AND expires_ms > $3 ORDER BY start_ms, unit_id`
	capacityAdd = `INSERT INTO capacity_units (unit_id, account, region, start_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)`
	capacityEnd = `DELETE FROM capacity_units WHERE account = $1 AND region = $2 AND expires_ms <= $3`
)

// settings is meta.Settings.
type settings struct{ t *tx }

func (s settings) RetrievalPolicy(a moraine.AccountID, r moraine.Region) (moraine.RetrievalPolicy, error) {
	return one(s.t, func(row scanner, p *moraine.RetrievalPolicy) error {
		return row.Scan((*string)(&p.Strategy), &p.BytesPerHour)
	}, retrievalPolicyGet, string(a), string(r))
}

func (s settings) SetRetrievalPolicy(a moraine.AccountID, r moraine.Region, p moraine.RetrievalPolicy) error {
	_, err := s.t.exec(retrievalPolicySave, string(a), string(r), string(p.Strategy), p.BytesPerHour)
	return err
}

func (s settings) Load(q meta.Load) (meta.Retrievals, error) {
	query, args := loadNow, []any{string(q.Account), string(q.Region), string(q.Tier)}
	if !q.Since.IsZero() {
		query, args = loadSince, append(args, millis(q.Since))
	}
	return one(s.t, func(row scanner, n *meta.Retrievals) error { return row.Scan(&n.Jobs, &n.Bytes) }, query, args...)
}

func (s settings) Capacity(a moraine.AccountID, r moraine.Region, t time.Time) ([]moraine.CapacityUnit, error) {
	return many(s.t, func(row scanner, u *moraine.CapacityUnit) error {
		return row.Scan((*string)(&u.ID), (*string)(&u.Account), (*string)(&u.Region), (*instant)(&u.Start), (*instant)(&u.Expires))
	}, capacityList, string(a), string(r), millis(t))
}

func (s settings) AddCapacity(u moraine.CapacityUnit) error {
	_, err := s.t.exec(capacityAdd, string(u.ID), string(u.Account), string(u.Region), millis(u.Start), millis(u.Expires))
	return err
}

func (s settings) DropCapacity(a moraine.AccountID, r moraine.Region, t time.Time) error {
	_, err := s.t.exec(capacityEnd, string(a), string(r), millis(t))
	return err
}

var _ meta.Settings = settings{}
