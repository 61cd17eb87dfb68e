package blob

import (
	"sync"

	"moraine"
)

// Pending remembers the blobs that are being put and not yet named by a
// committed row, so that the search for orphans leaves them alone. The zero
// value is ready. It forgets everything at a crash, which is right: what was
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
