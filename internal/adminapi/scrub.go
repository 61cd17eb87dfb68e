package adminapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Scrub is what operators may ask of the reading of everything. Every field is
// required; all are called from any goroutine.
type Scrub struct {
	Status  func(context.Context) (ScrubReply, error)
	Start   func(context.Context) error
	Failed  func(context.Context) (FailedReply, error)
	Release func(ctx context.Context, name string) (ReleaseReply, error)
	Discard func(ctx context.Context, name string) (DiscardReply, error)
	// Vault reads the archives of one vault, however long that takes.
	Vault func(context.Context, VaultQuery) (ScrubPass, error)
}

// The paths of scrub.
const (
	ScrubPath        = "/scrub"
	ScrubStartPath   = "/scrub/start"
	ScrubFailedPath  = "/scrub/failed"
	ScrubReleasePath = "/scrub/release"
	ScrubDiscardPath = "/scrub/discard"
	ScrubVaultPath   = "/scrub/vault"
)

// scrubBodyMax bounds the body of a request, in bytes.
const scrubBodyMax = 1 << 10

// ScrubReply is how far the reading of everything has come.
type ScrubReply struct {
	State  string     `json:"state"` // idle, reading or resting
	Pass   *ScrubPass `json:"pass,omitempty"`
	Last   *ScrubPass `json:"lastPass,omitempty"`
	Next   *time.Time `json:"nextPass,omitempty"` // absent if none is due by itself
	Period string     `json:"period"`
	Rate   int64      `json:"rate"` // bytes a second, 0 for no bound
	// Failed is how many pieces of archives have a fault now, up to 10,000.
	Failed int    `json:"failed"`
	Late   bool   `json:"late"`             // a pass takes longer than a period
	Error  string `json:"error,omitempty"`  // why the pass rests
	Advice string `json:"advice,omitempty"` // what to do; "" if all is well
}

// ScrubPass is a pass and what it found.
type ScrubPass struct {
	Started  time.Time  `json:"started"`
	Finished *time.Time `json:"finished,omitempty"`
	Blobs    int64      `json:"blobs"`
	Bytes    int64      `json:"bytes"`
	Failed   int64      `json:"failed"`
	Repaired int64      `json:"repaired"`
}

// VaultQuery names a vault.
type VaultQuery struct {
	Account string `json:"account,omitempty"` // "" for that of the root
	Region  string `json:"region,omitempty"`  // "" for the default one
	Vault   string `json:"vault"`
}

// FailedReply lists what is quarantined.
type FailedReply struct {
	Failed []FailedItem `json:"failed"`
	More   bool         `json:"more,omitempty"` // there are more than are listed
}

// FailedItem is a piece of an archive that is quarantined, or of something else
// if Archive is "".
type FailedItem struct {
	Vault       string    `json:"vaultARN,omitempty"`
	Archive     string    `json:"archiveId,omitempty"`
	ArchiveSize int64     `json:"archiveSize,omitempty"`
	Deleted     bool      `json:"deleted,omitempty"`
	Body        string    `json:"body"`
	First       int64     `json:"first"`
	Size        int64     `json:"size"`
	Blob        string    `json:"blob"`
	Checked     time.Time `json:"checked"`
	Fault       string    `json:"fault"`
}

// ReleaseReply says what a check of what had failed found.
type ReleaseReply struct {
	Released int `json:"released"`
	Left     int `json:"left"` // that still fail
}

// DiscardReply says how many pieces were given up.
type DiscardReply struct {
	Pieces int `json:"pieces"`
}

// Named is the body of a request about an archive or a blob.
type Named struct {
	Name string `json:"name"`
}

// register adds the routes of scrub.
func (s *Scrub) register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+ScrubPath, func(w http.ResponseWriter, r *http.Request) { reply(w, r, s.Status) })
	mux.HandleFunc("GET "+ScrubFailedPath, func(w http.ResponseWriter, r *http.Request) { reply(w, r, s.Failed) })
	mux.HandleFunc("POST "+ScrubStartPath, command(scrubBodyMax, func(ctx context.Context, body []byte) (any, error) {
		if err := decode(body, &struct{}{}); err != nil {
			return nil, err
		}
		if err := s.Start(ctx); err != nil {
			return nil, err
		}
		return s.Status(ctx)
	}))
	mux.HandleFunc("POST "+ScrubVaultPath, patient(command(scrubBodyMax, func(ctx context.Context, body []byte) (any, error) {
		var q VaultQuery
		if err := decode(body, &q); err != nil {
			return nil, err
		}
		if q.Vault == "" {
			return nil, errors.New(`name a vault, as in {"vault": "photos"}`)
		}
		return s.Vault(ctx, q)
	})))
	mux.HandleFunc("POST "+ScrubReleasePath, patient(about(func(ctx context.Context, name string) (any, error) { return s.Release(ctx, name) })))
	mux.HandleFunc("POST "+ScrubDiscardPath, about(func(ctx context.Context, name string) (any, error) { return s.Discard(ctx, name) }))
}

// reply answers with what fn returns.
func reply[T any](w http.ResponseWriter, r *http.Request, fn func(context.Context) (T, error)) {
	v, err := fn(r.Context())
	if err != nil {
		complain(w, err)
		return
	}
	answer(w, v)
}

// about is a command on an archive or a blob.
func about(fn func(ctx context.Context, name string) (any, error)) http.HandlerFunc {
	return command(scrubBodyMax, func(ctx context.Context, body []byte) (any, error) {
		var in Named
		if err := decode(body, &in); err != nil {
			return nil, err
		}
		if in.Name == "" {
			return nil, errors.New(`name an archive or a blob, as in {"name": "0190f3a2..."}`)
		}
		return fn(ctx, in.Name)
	})
}

// command is a request that changes something, with a body of at most bodyMax
// bytes.
func command(bodyMax int64, fn func(ctx context.Context, body []byte) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// A page in an operator's browser is no operator.
		if err := http.NewCrossOriginProtection().Check(r); err != nil {
			send(w, http.StatusForbidden, map[string]string{"error": err.Error()})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
		var v any
		if err == nil {
			v, err = fn(r.Context(), body)
		}
		if err != nil {
			complain(w, err)
			return
		}
		answer(w, v)
	}
}

// patienceMax bounds a request that reads archives.
const patienceMax = 4 * time.Hour

// patient gives a request more time than the listener gives others.
func patient(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, end := http.NewResponseController(w), time.Now().Add(patienceMax)
		// Where there are no deadlines there is nothing to move.
		_ = errors.Join(c.SetReadDeadline(end), c.SetWriteDeadline(end))
		h(w, r)
	}
}
