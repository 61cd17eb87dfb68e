package blob

import (
	"sync"
	"time"

	"moraine"
)

// Pending remembers the blobs that this process is putting and that are not yet
// named by a committed row, so that its search for orphans leaves them alone. The
// zero value is ready. It forgets everything at a crash, which is right: what was
// pending then is an orphan now.
type Pending struct {
	mu  sync.Mutex // guards ids
	ids map[moraine.BlobID]struct{}
}

// Begin enters id. Call done after the row that names the blob is committed,
// or when it is certain that none will be.
func (p *Pending) Begin(id moraine.BlobID) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ids == nil {
		p.ids = make(map[moraine.BlobID]struct{})
	}
	p.ids[id] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.ids, id)
	}
}

// Has reports whether id is pending.
func (p *Pending) Has(id moraine.BlobID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.ids[id]
	return ok
}

// NameWithin is how long after its body has ended a blob may still be named by a
// row, where those that no row has named for the grace are deleted. Pending
// knows the blobs of this process alone; another that searches the same store
// finds those of this one without a row, and must be able to rely on that none
// comes once the grace is over. A process that slept in between has to give the
// blob up.
func NameWithin(grace time.Duration) time.Duration { return max(grace/2, time.Minute) }
