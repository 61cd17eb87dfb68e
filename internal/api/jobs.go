package api

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"moraine"
	"moraine/internal/job"
)

func (s *Server) initiateJob(c *call) error {
	params := func() (job.Parameters, error) { return decodeParameters(c.auth.Body) }
	v, j, err := s.cfg.Jobs.InitiateJob(c.r.Context(), c.who, c.target.vault, params)
	if err != nil {
		return err
	}
	return c.created(http.StatusAccepted, location(&v, "jobs", string(j.ID)), "x-amz-job-id", string(j.ID))
}

// decodeParameters reads the body of InitiateJob (§7.2) with the leniency of
// §1.7.
func decodeParameters(body []byte) (job.Parameters, error) {
	var p job.Parameters
	if len(bytes.TrimSpace(body)) == 0 {
		return p, moraine.Errorf(moraine.Missing, "Required parameter missing: Job Parameters")
	}
	top, err := decodeObject(body)
	if err != nil {
		return p, err
	}
	top.text("Type", &p.Type)
	top.text("ArchiveId", &p.ArchiveID)
	top.text("Description", &p.Description)
	top.text("SNSTopic", &p.SNSTopic)
	top.text("Tier", &p.Tier)
	top.text("RetrievalByteRange", &p.RetrievalByteRange)
	top.text("Format", &p.Format)
	inventory := top.object("InventoryRetrievalParameters")
	inventory.text("StartDate", &p.Inventory.StartDate)
	inventory.text("EndDate", &p.Inventory.EndDate)
	inventory.text("Limit", &p.Inventory.Limit)
	inventory.text("Marker", &p.Inventory.Marker)
	p.HasSelectParameters = top.object("SelectParameters").fields != nil
	p.HasOutputLocation = top.object("OutputLocation").fields != nil
	return p, *top.err
}

func (s *Server) describeJob(c *call) error {
	v, j, err := s.cfg.Jobs.DescribeJob(c.r.Context(), c.who, c.target.vault, moraine.JobID(c.target.id))
	if err != nil {
		return err
	}
	return c.ok(job.Describe(&v, &j))
}

func (s *Server) listJobs(c *call) error {
	v, page, next, err := s.cfg.Jobs.ListJobs(c.r.Context(), c.who, c.target.vault, job.ListRequest{
		Completed: c.query.Get("completed"), StatusCode: c.query.Get("statuscode"),
		Limit: c.query.Get("limit"), Marker: c.query.Get("marker"),
	})
	if err != nil {
		return err
	}
	list := struct {
		JobList []job.Description
		Marker  *string
	}{make([]job.Description, 0, len(page)), orNull(next)}
	for i := range page {
		list.JobList = append(list.JobList, job.Describe(&v, &page[i]))
	}
	return c.ok(list)
}

// chunkStall is how long one chunk of an output may take to be sent.
const chunkStall = 5 * time.Minute

func (s *Server) getJobOutput(c *call) error {
	out, err := s.cfg.Jobs.GetJobOutput(c.r.Context(), c.who, c.target.vault,
		moraine.JobID(c.target.id), c.header("Range"))
	if err != nil {
		return err
	}
	defer out.Body.Close()
	// The first chunk is read before the status is chosen, so that damage found
	// there is an honest error reply.
	first, err := out.Body.Lend()
	if err != nil {
		return err
	}
	c.outputHeader(out)
	return s.sendOutput(c, out, first)
}

// outputHeader writes status and headers of an output (§7.7).
func (c *call) outputHeader(out *job.Output) {
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	if i := out.Job.Inventory; i != nil {
		h.Set("Content-Type", "application/json")
		if i.Format == moraine.CSV {
			h.Set("Content-Type", "text/csv")
		}
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", itoa(out.Last-out.First+1))
	if r := out.Job.Retrieval; r != nil && r.ArchiveDescription != "" {
		h["x-amz-archive-description"] = []string{r.ArchiveDescription}
	}
	if out.TreeHash != nil {
		h["x-amz-sha256-tree-hash"] = []string{out.TreeHash.String()}
	}
	if c.auth.Presigned {
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Disposition", "attachment")
	}
	status := http.StatusOK
	if out.Partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", "bytes "+itoa(out.First)+"-"+itoa(out.Last)+"/"+strconv.FormatInt(out.Job.Output, 10))
	}
	c.w.WriteHeader(status)
}

// sendOutput sends an output that begins with chunk, each chunk as the store
// lends it. A client that stops early is no error. Damage found on the way cuts the
// connection short of Content-Length: a body never ends normally with wrong
// or missing bytes.
func (s *Server) sendOutput(c *call, out *job.Output, chunk []byte) error {
	control := http.NewResponseController(c.w.ResponseWriter)
	for {
		// A server without deadlines only loses the guard against a stall.
		_ = control.SetWriteDeadline(time.Now().Add(chunkStall))
		if _, err := c.w.Write(chunk); err != nil {
			c.event.Err = err
			return nil
		}
		var err error
		chunk, err = out.Body.Lend()
		switch {
		case err == nil:
		case err == io.EOF:
			_ = control.SetWriteDeadline(time.Time{})
			return nil
		default:
			c.event.Err, c.event.Code = err, toWire(err).Code
			panic(http.ErrAbortHandler)
		}
	}
}
