package adminapi

import (
	"context"
	"net/http"
)

// Migrate copies bytes to another house, once through.
type Migrate func(ctx context.Context, o MigrateOrder) (MigrateReply, error)

// MigratePath is the path of moves.
const MigratePath = "/migrate"

// MigrateOrder says where bytes are to go.
type MigrateOrder struct {
	To       string `json:"to"`   // a file of settings or a data directory on the machine of the server
	Rate     int64  `json:"rate"` // bytes a second, 0 for no bound
	ReadBack bool   `json:"readBack"`
}

// MigrateReply is what a move did.
type MigrateReply struct {
	Blobs        int64            `json:"blobs"` // in the old house
	Bytes        int64            `json:"bytes"`
	Copied       int64            `json:"copied"` // blobs, by this run
	CopiedBytes  int64            `json:"copiedBytes"`
	Present      int64            `json:"present"` // blobs that were there before
	Removed      int64            `json:"removed"` // copies of blobs that are no more, or of which nobody knew after a run was cut off
	Damaged      int64            `json:"damaged"`
	DamagedBlobs []string         `json:"damagedBlobs,omitempty"` // the first thousand
	Rows         map[string]int64 `json:"rows,omitempty"`         // by table, once they moved
	Done         bool             `json:"done"`
}

// register adds the route. A copy takes as long as it takes.
func (m Migrate) register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+MigratePath, patient(command(migrateBodyMax, func(ctx context.Context, body []byte) (any, error) {
		var o MigrateOrder
		if err := decode(body, &o); err != nil {
			return nil, err
		}
		return m(ctx, o)
	})))
}

// migrateBodyMax bounds the body of a request, in bytes.
const migrateBodyMax = 8 << 10
