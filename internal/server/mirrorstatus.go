package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/s3"
	"moraine/internal/config"
	"moraine/internal/meta"
)

// The directories of blobs that Options.Rebuild names.
const (
	Primary = mirror.Primary
	Mirror  = mirror.Second
)

// MirrorReport says how the copies of blobs are.
type MirrorReport struct {
	Running      bool      // a server said so; else the rows do
	Counted      time.Time // zero if it has not counted them yet
	Blobs, Bytes int64
	Places       []MirrorPlace
	Lost         int64 // blobs without a good copy
	Doing        string
	Rate         int64 // bytes per second
	Error        string
	ErrorAt      time.Time
}

// MirrorPlace is one of the places of copies.
type MirrorPlace struct {
	Name         string
	State        string // in words
	Well         bool
	Missing      int64 // copies
	MissingBytes int64
}

// Known reports whether the copies were counted.
func (r *MirrorReport) Known() bool { return !r.Counted.IsZero() }

// Whole reports whether every blob has two copies, as far as is known.
func (r *MirrorReport) Whole() bool {
	whole := r.Known() && r.Lost == 0
	for _, p := range r.Places {
		whole = whole && p.Well && p.Missing == 0
	}
	return whole
}

// MirrorStatus asks the server that has the data directory through its admin
// listener or, if none has it, the rows.
func MirrorStatus(ctx context.Context, cfg config.Config, log *slog.Logger) (r MirrorReport, err error) {
	d, err := openExisting(cfg.Data, cfg.Meta)
	var inUse *inUseError
	if errors.As(err, &inUse) {
		return askMirror(ctx, cfg)
	}
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.mirrorReport(ctx, wanted(cfg.Storage, ""), log)
}

// Bounds of a question to the admin listener.
const (
	askTimeout = 10 * time.Second
	answerMax  = 1 << 20 // bytes
)

func askMirror(ctx context.Context, cfg config.Config) (r MirrorReport, err error) {
	if cfg.Admin.Listen == "" {
		return r, errors.New("a server has the data directory, and it has no admin listener to be asked through")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cfg.Admin.Listen+"/mirror", nil)
	if err != nil {
		return r, err
	}
	// No proxy stands between an operator and a listener on the same machine.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return r, fmt.Errorf("a server has the data directory, and does not answer on its admin listener; name that with --admin-listen: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return r, fmt.Errorf("ask the admin listener %s: %w", cfg.Admin.Listen, err)
	}
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("the server says: %s", strings.TrimSpace(string(body)))
	}
	var m adminapi.Mirror
	if err := json.Unmarshal(body, &m); err != nil {
		return r, fmt.Errorf("the answer of %s is not understood: %w", cfg.Admin.Listen, err)
	}
	return reportOf(m), nil
}

func reportOf(m adminapi.Mirror) MirrorReport {
	r := MirrorReport{
		Running: true, Counted: m.Counted, Blobs: m.Blobs, Bytes: m.Bytes, Lost: m.Lost,
		Doing: m.Doing, Rate: m.Rate, Error: m.Error, ErrorAt: m.ErrorAt,
	}
	for _, p := range m.Places {
		place := MirrorPlace{Name: p.Name, State: "in use", Well: true, Missing: p.Missing, MissingBytes: p.MissingBytes}
		if p.Failure != "" {
			place.State, place.Well = "failing: "+p.Failure, false
		}
		for _, name := range m.Rebuilding {
			if name == p.Name {
				place.State, place.Well = "being filled anew", false
			}
		}
		r.Places = append(r.Places, place)
	}
	return r
}

// mirrorReport reads what the rows say, and looks at the directories.
func (d *data) mirrorReport(ctx context.Context, want storageWanted, log *slog.Logger) (r MirrorReport, err error) {
	rec, _, err := d.readRecord()
	if err != nil {
		return r, err
	}
	if rec.stores[mirror.Second] == "" {
		return r, fmt.Errorf("%s has no second copy", d.dir)
	}
	want.check = true
	buckets, _, err := openBuckets(ctx, want, log)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, buckets.Close()) }()
	paths := [...]string{d.path(packsDir), want.mirror}
	if buckets[mirror.Primary] != nil {
		paths[0] = want.blobs
	}
	for i, role := range roles {
		p := MirrorPlace{Name: role}
		p.State, p.Well = d.stateOf(ctx, &rec, role, paths[i], buckets[role])
		r.Places = append(r.Places, p)
	}
	err = d.eachRow(ctx, log, func(e moraine.Extent) {
		r.Blobs++
		r.Bytes += e.Size
		first, second := mirror.Lacks(crypt.Below(e.Ref))
		for i, lacks := range []bool{first, second} {
			if lacks {
				r.Places[i].Missing++
				r.Places[i].MissingBytes += e.Size
			}
		}
	})
	r.Counted = time.Now()
	return r, err
}

// stateOf says in words how a directory or a bucket of blobs is.
func (d *data) stateOf(ctx context.Context, rec *record, role, path string, bucket *s3.Store) (state string, well bool) {
	if path == "" {
		return "not named: storage.mirror is not set", false
	}
	var b blobDir
	var err error
	if bucket != nil {
		b, err = lookAtBucket(ctx, bucket, path, role)
	} else if path, err = filepath.Abs(path); err == nil {
		b, err = d.lookAt(path, role)
	}
	if err == nil {
		err = (&storage{d: d, record: *rec}).fits(b)
	}
	switch {
	case err != nil:
		return err.Error(), false
	case rec.rebuilding[role]:
		return path + ", being filled anew by a server that runs", false
	}
	return path, true
}

// rowBatch is how many rows are read in one transaction.
const rowBatch = 1000

// eachRow calls fn for each extent in the rows of a directory.
func (d *data) eachRow(ctx context.Context, log *slog.Logger, fn func(moraine.Extent)) (err error) {
	rows, err := d.openRows(ctx, log, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for after := (moraine.BlobID{}); ; {
		var list []moraine.Extent
		err := rows.View(ctx, func(tx meta.Tx) (err error) {
			list, err = tx.Bodies().Blobs(after, rowBatch)
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			fn(e)
		}
		after = list[len(list)-1].Blob
	}
}

// DetachMirror has a data directory go on with one copy, and returns how many
// blobs are given up by that, which is none without force.
func (o Offline) DetachMirror(ctx context.Context, force bool) (alone int64, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d, err := openExisting(o.Data, o.Meta)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	rec, _, err := d.readRecord()
	if err != nil {
		return 0, err
	}
	if rec.stores[mirror.Second] == "" {
		return 0, fmt.Errorf("%s has no second copy", d.dir)
	}
	err = d.eachRow(ctx, o.Log, func(e moraine.Extent) {
		if lacks, _ := mirror.Lacks(crypt.Below(e.Ref)); lacks {
			alone++
		}
	})
	switch {
	case err != nil:
		return alone, err
	case alone > 0 && !force:
		return alone, fmt.Errorf("%d blobs are in the second copy alone and would be lost; run the server until `moraine mirror status` says that none is missing in primary", alone)
	case rec.rebuilding[mirror.Primary] && !force:
		return alone, errors.New("the primary is still being filled from the second copy; run the server until `moraine mirror status` says that none is missing in primary")
	}
	// On record: there is no mirror. What references say of it counts for nothing
	// from here on.
	return alone, d.writeRecord(record{set: rec.set, stores: map[string]string{mirror.Primary: rec.stores[mirror.Primary]}})
}
