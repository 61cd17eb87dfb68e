package pack

import (
	"errors"
	"sync"
)

// names makes the names in open/ durable. A sync of a directory that fails may lose
// every name that was made since the last good one, and a later one that succeeds
// does not save them. So whoever made a file before a failure must not believe what
// comes after it, whose sync ever failed.
//
// One sync serves all who wait for it, and only one is under way: what fails is
// known before the next can succeed.
type names struct {
	turn sync.Mutex // held by the sync under way

	mu     sync.Mutex // guards the rest
	next   *nameSync  // the sync that waits for its turn; nil for none
	failed int        // syncs that failed
}

// nameSync is one sync and who waits for it.
type nameSync struct {
	done   chan struct{} // closed when the rest is set
	err    error
	failed int // syncs that failed, up to this one
}

// errNameLost says that a name was made before a sync of its directory failed.
var errNameLost = errors.New("a sync of the directory failed after the file was made in it")

// failures is how many syncs of open/ have failed. It is asked for before a file
// is made there.
func (l *layout) failures() int {
	l.names.mu.Lock()
	defer l.names.mu.Unlock()
	return l.names.failed
}

// syncName makes the name of a file durable that was made in open/ when so many
// syncs had failed.
func (l *layout) syncName(failures int) error {
	s := l.syncOnce()
	if s.err == nil && s.failed != failures {
		return errNameLost
	}
	return s.err
}

// syncOpen makes durable what is renamed and removed in open/.
func (l *layout) syncOpen() error { return l.syncOnce().err }

// syncOnce returns the result of a sync that began after it was called.
func (l *layout) syncOnce() *nameSync {
	n := &l.names
	n.mu.Lock()
	if s := n.next; s != nil {
		n.mu.Unlock()
		<-s.done
		return s
	}
	s := &nameSync{done: make(chan struct{})}
	n.next = s
	n.mu.Unlock()

	n.turn.Lock()
	defer n.turn.Unlock()
	n.mu.Lock()
	n.next = nil // who comes from here on may have made a name that this sync misses
	n.mu.Unlock()
	s.err = l.fs.SyncDir(l.openDir())
	n.mu.Lock()
	if s.err != nil {
		n.failed++
	}
	s.failed = n.failed
	n.mu.Unlock()
	close(s.done)
	return s
}
