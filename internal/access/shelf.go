package access

import "sync"

// ShelfTextMax bounds the text, in characters or bytes, behind what a Shelf
// keeps. A compiled policy takes about ten times the memory of its text, and
// one made for that purpose up to seventy-five times.
const ShelfTextMax = 2 << 20

// Shelf keeps what was compiled from policies, by a key that is never used for
// anything else. It is safe for concurrent use, and the zero value is empty.
type Shelf[K comparable, V any] struct {
	mu    sync.Mutex // guards what follows
	items map[K]shelved[V]
	text  int // of all items
}

type shelved[V any] struct {
	value V
	text  int
}

// Get returns what is kept under a key.
func (s *Shelf[K, V]) Get(key K) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	return item.value, ok
}

// Put keeps a value that was compiled from so much text, and makes room by
// dropping others, whichever they are.
func (s *Shelf[K, V]) Put(key K, value V, text int) {
	if text > ShelfTextMax {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil {
		s.items = make(map[K]shelved[V])
	}
	s.text += text - s.items[key].text
	s.items[key] = shelved[V]{value, text}
	for other, item := range s.items {
		if s.text <= ShelfTextMax {
			break
		}
		if other != key {
			delete(s.items, other)
			s.text -= item.text
		}
	}
}

// Text is how much text is behind what is kept.
func (s *Shelf[K, V]) Text() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}
