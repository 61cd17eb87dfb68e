package vault

import (
	"sync"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/treehash"
)

// recent remembers for a moment who was admitted to upload to which vault. The
// decision itself is taken in the transaction that acts. A look before the body
// only keeps those who are not admitted from making the server store bodies in
// vain; for a small body of somebody who was admitted a moment ago it would
// cost more than it spares.
type recent struct {
	mu    sync.Mutex // guards until
	until map[uploader]time.Time
}

// uploader is who uploads where.
type uploader struct {
	caller  moraine.AccountID
	id, arn string
	account string // segment of the path
	region  moraine.Region
	vault   string
}

const (
	recentFor   = time.Second
	recentMax   = 1024
	recentBytes = treehash.LeafSize // larger bodies are always looked at before
)

func uploaderOf(c *access.Call, name string) uploader {
	return uploader{
		caller: c.Principal.Account, id: c.Principal.ID, arn: c.Principal.ARN,
		account: c.Account, region: c.Region, vault: name,
	}
}

// has reports whether u was admitted a moment before now.
func (r *recent) has(u uploader, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[u])
}

// add notes that u was admitted at now.
func (r *recent) add(u uploader, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil || len(r.until) >= recentMax {
		r.until = make(map[uploader]time.Time)
	}
	r.until[u] = now.Add(recentFor)
}

// remove forgets u, whose upload was refused.
func (r *recent) remove(u uploader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, u)
}
