package meta

import "time"

// Lease is the right to do what one process at a time shall do.
type Lease struct {
	Name  string
	Owner string // names a process, never reused
	// Number is raised whenever the lease passes to somebody, also to one who
	// had it before. Who holds it with a number has held it all the time since
	// that number was given out.
	Number int64
	Until  time.Time // by Tx.Time; zero after a release
}

// Leases is the table of leases. There is one row for each name ever used: names
// are few.
//
// Whoever acts under a lease looks in the transaction that acts whether owner
// and number are still as they were when the work began. That is safe by
// whatever clock: a lease that is over and that nobody has taken is as good as
// one that is not, and one that was taken fails the look. An engine must
// therefore not let a transaction that looked at a lease commit after another
// took it, unless the first comes before the second in the order of all
// (Store.Update).
type Leases interface {
	// Get returns a lease as it was last given or released.
	Get(name string) (Lease, error)
	// Acquire gives a lease to owner until an instant, unless somebody else has
	// it and it is not over at now. To its present owner that is a renewal,
	// which keeps the number, even if it was over. Acquire returns the lease as
	// it then is: if it was refused, that of somebody else.
	Acquire(name, owner string, now, until time.Time) (Lease, error)
	// Release ends the lease if owner and number are those of l. If they are
	// not, it was lost before, and that is no error.
	Release(l Lease) error
}
