package sqlmeta

import (
	"errors"
	"time"

	"moraine/internal/meta"
)

const leaseColumns = `lease_name, owner, number, until_ms`

const (
	timeGet = `SELECT ` + databaseClock

	leaseGet     = `SELECT ` + leaseColumns + ` FROM leases WHERE lease_name = $1`
	leaseAcquire = `INSERT INTO leases (` + leaseColumns + `) VALUES ($1, $2, 1, $3)
ON CONFLICT (lease_name) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms,
number = leases.number + CASE WHEN leases.owner = excluded.owner AND leases.until_ms IS NOT NULL THEN 0 ELSE 1 END
WHERE leases.owner = excluded.owner OR leases.until_ms IS NULL OR leases.until_ms <= $4
RETURNING ` + leaseColumns
	leaseRelease = `UPDATE leases SET until_ms = NULL WHERE lease_name = $1 AND owner = $2 AND number = $3`
)

// leases is meta.Leases.
type leases struct{ t *tx }

func readLease(row scanner, l *meta.Lease) error {
	return row.Scan(&l.Name, &l.Owner, &l.Number, (*instant)(&l.Until))
}

func (s leases) Get(name string) (meta.Lease, error) { return one(s.t, readLease, leaseGet, name) }

func (s leases) Acquire(name, owner string, now, until time.Time) (meta.Lease, error) {
	l, err := one(s.t, readLease, leaseAcquire, name, owner, millis(until), millis(now))
	if errors.Is(err, meta.ErrNotFound) { // it was refused
		return s.Get(name)
	}
	return l, err
}

func (s leases) Release(l meta.Lease) error {
	_, err := s.t.exec(leaseRelease, l.Name, l.Owner, l.Number)
	return err
}

var _ meta.Leases = leases{}
