package pack

import (
	"container/list"
	"os"
	"sync"

	"moraine/internal/disk"
)

// handles keeps files open for reading: those in use, and the most recently
// used of the others up to a number.
type handles struct {
	layout *layout
	max    int

	mu      sync.Mutex // guards the rest, and the fields of each handle
	forgets int        // calls of forget so far
	byName  map[fileName]*handle
	idle    *list.List // of *handle, the least recently used first
}

// handle is an open file. It is closed when nobody uses it and it is no longer
// kept.
type handle struct {
	disk.File
	name fileName
	uses int
	kept bool          // it is in byName
	elem *list.Element // in idle, when uses is 0
}

func newHandles(l *layout, most int) *handles {
	return &handles{layout: l, max: most, byName: map[fileName]*handle{}, idle: list.New()}
}

// get returns an open file, to be given back with put.
func (c *handles) get(n fileName) (*handle, error) {
	c.mu.Lock()
	if h := c.byName[n]; h != nil {
		c.use(h)
		c.mu.Unlock()
		return h, nil
	}
	forgets := c.forgets
	c.mu.Unlock()

	f, _, err := c.layout.find(n, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.byName[n]; h != nil {
		// Somebody was faster. The file was only read.
		_ = f.Close()
		c.use(h)
		return h, nil
	}
	h := &handle{File: f, name: n, uses: 1}
	if c.forgets == forgets {
		// Nothing was removed since it was opened: kept for good, a removed file
		// would keep its space.
		h.kept = true
		c.byName[n] = h
	}
	return h, nil
}

func (c *handles) use(h *handle) {
	if h.uses == 0 {
		c.idle.Remove(h.elem)
	}
	h.uses++
}

// put gives a file back.
func (c *handles) put(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.uses--
	switch {
	case h.uses > 0:
	case !h.kept:
		_ = h.Close() // only read
	default:
		h.elem = c.idle.PushBack(h)
		for c.idle.Len() > c.max {
			c.drop(c.idle.Front().Value.(*handle))
		}
	}
}

// drop forgets an idle file.
func (c *handles) drop(h *handle) {
	c.idle.Remove(h.elem)
	delete(c.byName, h.name)
	_ = h.Close() // only read
}

// forget stops keeping a file, because it was removed: its space is given back
// when the last reader is done.
func (c *handles) forget(n fileName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	h := c.byName[n]
	switch {
	case h == nil:
	case h.uses == 0:
		c.drop(h)
	default:
		h.kept = false
		delete(c.byName, n)
	}
}

// close drops what is idle, and the rest when it is given back.
func (c *handles) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.idle.Len() > 0 {
		c.drop(c.idle.Front().Value.(*handle))
	}
	for n, h := range c.byName {
		h.kept = false
		delete(c.byName, n)
	}
}
