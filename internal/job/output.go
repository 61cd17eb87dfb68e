package job

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/meta"
)

// Output is what GetJobOutput delivers. Body must be closed.
type Output struct {
	Job         moraine.Job
	First, Last int64 // inclusive range of the output that Body holds
	Partial     bool  // a usable Range was given: the answer is 206
	// TreeHash belongs to the range that is returned; nil where none may be
	// sent (§6.3).
	TreeHash *moraine.TreeHash
	Body     blob.Body
}

// GetJobOutput opens the output of a finished job, or the part of it that a
// Range header selects (§7.7). rangeHeader is as sent, "" if absent. The
// output stays readable until Body is closed, even if the job expires
// meanwhile.
func (s *Service) GetJobOutput(ctx context.Context, call access.Call, name string, id moraine.JobID, rangeHeader string) (*Output, error) {
	// Hold the job before looking at it: see Expire.
	release := s.hold(id)
	out, extents, err := s.findOutput(ctx, call, name, id, rangeHeader)
	if err != nil {
		release()
		return nil, err
	}
	base := int64(0) // of the output in its body
	if r := out.Job.Retrieval; r != nil {
		base = r.First
		if r.TreeHash != nil {
			out.TreeHash, err = s.rangeHash(ctx, extents, base+out.First, base+out.Last, r.ArchiveSize)
			if err != nil {
				release()
				return nil, err
			}
		}
	}
	if err := s.holdRow(ctx, &out.Job); err != nil {
		release()
		return nil, err
	}
	body := blob.OpenBody(ctx, s.cfg.Blobs, extents, base+out.First, out.Last-out.First+1)
	out.Body = &heldBody{Body: body, release: release, suspect: s.suspect}
	return out, nil
}

// findOutput checks the request and finds the extents of the output.
func (s *Service) findOutput(ctx context.Context, call access.Call, name string, id moraine.JobID, rangeHeader string) (*Output, []moraine.Extent, error) {
	var out Output
	var extents []moraine.Extent
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "GetJobOutput", Vault: name})
		if err != nil {
			return err
		}
		v, err := grant.Vault()
		if err != nil {
			return err
		}
		j, err := s.find(tx, &v, id)
		if err != nil {
			return err
		}
		if j.State != moraine.Succeeded {
			return moraine.Errorf(moraine.Invalid, "The job is not currently available for download: %s", id)
		}
		out.Job = j
		if out.First, out.Last, out.Partial, err = outputRange(rangeHeader, j.Output); err != nil {
			return err
		}
		from := out.First
		if j.Retrieval != nil {
			from += j.Retrieval.First
		}
		last := from + out.Last - out.First
		if extents, err = covering(tx, j.Body, from, last); err != nil {
			return err
		}
		return s.unfaulted(extents, last)
	})
	return &out, extents, err
}

// coveringFirst is how many extents are read at first: enough for most ranges.
const coveringFirst = 4

// covering returns the extents of a body that hold its bytes from first to last,
// and perhaps some behind them.
func covering(tx meta.Tx, b moraine.BodyID, first, last int64) ([]moraine.Extent, error) {
	var all []moraine.Extent
	for limit := coveringFirst; ; limit *= 4 {
		more, err := tx.Bodies().Extents(b, first, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
		if len(more) < limit {
			return all, nil
		}
		if end := more[limit-1].First + more[limit-1].Size; end <= last {
			first = end
			continue
		}
		return all, nil
	}
}

// unfaulted refuses to serve extents up to the byte last if one has a fault.
func (s *Service) unfaulted(extents []moraine.Extent, last int64) error {
	for i := range extents {
		if extents[i].First > last {
			break
		}
		if err := s.quarantined(&extents[i]); err != nil {
			return err
		}
	}
	return nil
}

// outputRange reads a Range header for an output of total bytes (table in
// §7.7). A header that is not a single well-formed range is ignored.
func outputRange(header string, total int64) (first, last int64, partial bool, err error) {
	last = total - 1
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return 0, last, false, nil
	}
	from, to, ok := strings.Cut(spec, "-")
	if !ok || from == "" && to == "" || strings.Trim(from+to, "0123456789") != "" {
		return 0, last, false, nil
	}
	a, b := clampInt(from), clampInt(to)
	switch {
	case from == "": // the last b bytes
		if b == 0 {
			return 0, last, false, nil
		}
		return max(0, total-b), last, true, nil
	case to == "":
		b = math.MaxInt64
	case b < a:
		return 0, last, false, nil
	}
	if a >= total {
		return 0, 0, false, moraine.Errorf(moraine.Invalid, "The start of the range is larger than size of retrieved data: %s", header)
	}
	return a, min(b, last), true, nil
}

// clampInt reads ASCII digits; a number too large is the largest there is.
func clampInt(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil && digits != "" {
		return math.MaxInt64
	}
	return n
}

// reading is the downloads of one job.
type reading struct {
	n       int
	expires time.Time // of the job; zero while nobody has looked
}

// hold keeps this process from reclaiming the output of a job until release is
// called.
func (s *Service) hold(id moraine.JobID) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reading[id]
	if r == nil {
		r = new(reading)
		s.reading[id] = r
	}
	r.n++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.n--; r.n == 0 {
			delete(s.reading, id)
		}
	})
}

func (s *Service) isReading(id moraine.JobID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reading[id] != nil
}

// How other processes learn of downloads. Most end long before their job
// expires, and nothing is written about them. Clocks of two processes may differ
// by less than holdEarly without a loss.
const (
	holdEarly = 15 * time.Minute // before the expiry, what is being read is noted
	holdTime  = time.Minute      // for how long
)

// holdRow keeps other processes from reclaiming the output of a job that
// expires soon and that this process holds already.
func (s *Service) holdRow(ctx context.Context, j *moraine.Job) error {
	s.mu.Lock()
	s.reading[j.ID].expires = j.Expires
	s.mu.Unlock()
	if j.Expires.Sub(s.now()) >= holdEarly {
		return nil // keepRows will see to it
	}
	gone, err := s.holdRows(ctx, []moraine.JobID{j.ID})
	if err == nil && gone > 0 {
		err = noJob(j.ID) // it expired just now
	}
	return err
}

// keepRows is holdRow for all downloads under way, done now and then.
func (s *Service) keepRows(ctx context.Context) error {
	now := s.now()
	s.mu.Lock()
	var ids []moraine.JobID
	for id, r := range s.reading {
		if !r.expires.IsZero() && r.expires.Sub(now) < holdEarly {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	for batch := range slices.Chunk(ids, expiryBatch) {
		// One that is gone went with its vault.
		if _, err := s.holdRows(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// holdRows returns how many of the jobs are gone.
func (s *Service) holdRows(ctx context.Context, ids []moraine.JobID) (gone int, err error) {
	err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		gone = 0
		now, err := tx.Time()
		if err != nil {
			return err
		}
		for _, id := range ids {
			switch err := tx.Jobs().Hold(id, now.Add(holdTime)); {
			case errors.Is(err, meta.ErrNotFound):
				gone++
			case err != nil:
				return err
			}
		}
		return nil
	})
	return gone, err
}

// downloads is how many jobs are being read.
func (s *Service) downloads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.reading)
}

// heldBody releases the job when it is closed, and tells of damage.
type heldBody struct {
	blob.Body
	release func()
	suspect func(error)
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	b.suspect(err)
	return n, err
}

// Lend implements blob.Lender.
func (b *heldBody) Lend() ([]byte, error) {
	p, err := b.Body.Lend()
	b.suspect(err)
	return p, err
}

func (b *heldBody) Close() error {
	defer b.release()
	return b.Body.Close()
}
