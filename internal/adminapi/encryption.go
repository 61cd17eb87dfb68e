package adminapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"moraine"
	"moraine/internal/blobkeys"
)

// Encryption is what operators may ask of the keys of encrypted archives. Every
// field is required; all are called from any goroutine.
type Encryption struct {
	Status func(context.Context) (blobkeys.Status, error)
	// Rotate makes a new key current.
	Rotate func(context.Context) error
	// Rewrap has all keys wrapped by the master of now.
	Rewrap func(context.Context) error
}

// The paths of the keys.
const (
	EncryptionPath = "/encryption"
	RotateKeyPath  = "/encryption/rotate"
	RewrapKeysPath = "/encryption/rewrap"
)

// EncryptionReply is how the keys stand.
type EncryptionReply struct {
	State  string   `json:"state"` // on; off; or reading: nothing more is encrypted
	Master string   `json:"master,omitempty"`
	Old    string   `json:"oldMaster,omitempty"`
	Keys   []KeyRow `json:"keys"`             // the oldest first
	Advice string   `json:"advice,omitempty"` // what to do; "" if all is well
}

// KeyRow is one key.
type KeyRow struct {
	ID        string    `json:"keyId"`
	Created   time.Time `json:"created"`
	WrappedBy string    `json:"wrappedBy"`
	Current   bool      `json:"current,omitempty"`
}

// NewEncryptionReply describes a status.
func NewEncryptionReply(s blobkeys.Status) EncryptionReply {
	r := EncryptionReply{State: "off", Master: s.Master, Old: s.Old, Keys: make([]KeyRow, len(s.Keys))}
	for i, k := range s.Keys {
		r.Keys[i] = KeyRow(k)
	}
	switch {
	case s.Master != "":
		r.State = "on"
	case len(s.Keys) > 0:
		r.State = "reading"
	}
	switch n := s.Elsewhere(); {
	case s.Master != "" && n > 0:
		r.Advice = fmt.Sprintf("%d of %d keys are wrapped by another master or by an older key of it, which must be kept; run moraine encryption rewrap", n, len(s.Keys))
	case s.Master == "" && s.Old == "" && n > 0:
		r.Advice = "archives are encrypted and the settings name no master, so no server can start; see encryption.* in the manual"
	}
	return r
}

// register adds the routes of the keys.
func (e *Encryption) register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+EncryptionPath, func(w http.ResponseWriter, r *http.Request) { e.reply(w, r) })
	for path, change := range map[string]func(context.Context) error{RotateKeyPath: e.Rotate, RewrapKeysPath: e.Rewrap} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			// A page in an operator's browser is no operator.
			if err := http.NewCrossOriginProtection().Check(r); err != nil {
				send(w, http.StatusForbidden, map[string]string{"error": err.Error()})
				return
			}
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, confirmBodyMax))
			if err == nil && len(body) > 0 {
				err = decode(body, &struct{}{})
			}
			if err != nil {
				complain(w, err)
				return
			}
			if err := change(r.Context()); err != nil {
				complainKeys(w, err)
				return
			}
			e.reply(w, r)
		})
	}
}

func (e *Encryption) reply(w http.ResponseWriter, r *http.Request) {
	st, err := e.Status(r.Context())
	if err != nil {
		complainKeys(w, err)
		return
	}
	answer(w, NewEncryptionReply(st))
}

// complainKeys says why the keys were not changed: because there are none to
// change, or because master or rows said no.
func complainKeys(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if moraine.IsKind(err, moraine.Invalid) {
		status = http.StatusConflict
	}
	send(w, status, map[string]string{"error": err.Error()})
}
