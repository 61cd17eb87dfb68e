package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"moraine"
	"moraine/internal/clock"
	"moraine/internal/job"
)

// TestMode is what a test may change in a server that runs for tests. Every
// field is required; all are called from any goroutine.
type TestMode struct {
	// Clock returns the time, and how far the clock was moved.
	Clock func() (now time.Time, ahead time.Duration)
	// Advance moves the clock. The kind Unavailable says that the move was in
	// order but not possible.
	Advance   func(time.Duration) error
	Delays    func() job.Delays
	SetDelays func(job.Delays)
	// FailNextJob makes one more job fail.
	FailNextJob func()
	// ScarceExpedited makes Expedited retrievals scarce; or, if not on, what
	// the settings say.
	ScarceExpedited func(on bool)
	// Throttle refuses that many requests from now on; 0 ends it.
	Throttle func(requests int)
	// TimeoutNextUpload makes one more upload time out.
	TimeoutNextUpload func()
}

// Bounds of what a test may ask for.
const (
	testBodyMax  = 4 << 10 // bytes
	delayMax     = 365 * 24 * time.Hour
	throttledMax = 1_000_000 // requests
)

// register adds the routes of test mode.
func (t *TestMode) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /test/clock", func(w http.ResponseWriter, _ *http.Request) { answer(w, t.clock()) })
	for path, handle := range map[string]func(body []byte) (any, error){
		"clock":               t.advance,
		"job-delays":          t.setDelays,
		"fail-next-job":       t.failNextJob,
		"scarce-expedited":    t.scarceExpedited,
		"throttle":            t.throttle,
		"timeout-next-upload": t.timeoutNextUpload,
	} {
		mux.HandleFunc("POST /test/"+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, testBodyMax))
			var reply any
			if err == nil {
				reply, err = handle(body)
			}
			if err != nil {
				complain(w, err)
				return
			}
			answer(w, reply)
		})
	}
}

// clockReply is what the clock shows.
type clockReply struct {
	Now   time.Time `json:"now"`
	Ahead string    `json:"ahead"`
}

func (t *TestMode) clock() clockReply {
	now, ahead := t.Clock()
	return clockReply{now, ahead.String()}
}

func (t *TestMode) advance(body []byte) (any, error) {
	var in struct {
		Advance *string `json:"advance"`
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	if in.Advance == nil {
		return nil, errors.New(`say how far, as in {"advance": "24h"}`)
	}
	by, err := time.ParseDuration(*in.Advance)
	if err != nil {
		return nil, fmt.Errorf("advance: %q is no duration; write it as in 90s, 5h or 744h", *in.Advance)
	}
	if err := t.Advance(by); err != nil {
		return nil, err
	}
	return t.clock(), nil
}

// delaysReply are delays as they are printed.
type delaysReply struct {
	Expedited string `json:"expedited"`
	Standard  string `json:"standard"`
	Bulk      string `json:"bulk"`
}

func (t *TestMode) setDelays(body []byte) (any, error) {
	var in struct {
		Expedited *string `json:"expedited"`
		Standard  *string `json:"standard"`
		Bulk      *string `json:"bulk"`
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	if in.Expedited == nil && in.Standard == nil && in.Bulk == nil {
		return nil, errors.New(`name at least one tier, as in {"expedited": "1m", "bulk": "5h"}; the others keep their delays`)
	}
	delays := t.Delays()
	err := errors.Join(
		setDelay(&delays.Expedited, "expedited", in.Expedited),
		setDelay(&delays.Standard, "standard", in.Standard),
		setDelay(&delays.Bulk, "bulk", in.Bulk),
	)
	if err != nil {
		return nil, err
	}
	t.SetDelays(delays)
	return delaysReply{delays.Expedited.String(), delays.Standard.String(), delays.Bulk.String()}, nil
}

func setDelay(delay *time.Duration, tier string, text *string) error {
	if text == nil {
		return nil
	}
	d, err := time.ParseDuration(*text)
	if err != nil || d < 0 || d > delayMax {
		return fmt.Errorf("%s: %q is no delay; write it as in 0s, 1m or 5h, up to %s", tier, *text, delayMax)
	}
	*delay = d
	return nil
}

func (t *TestMode) failNextJob(body []byte) (any, error) {
	return once(body, t.FailNextJob)
}

func (t *TestMode) timeoutNextUpload(body []byte) (any, error) {
	return once(body, t.TimeoutNextUpload)
}

// once is for what takes no parameter: an empty body or {}.
func once(body []byte, fn func()) (any, error) {
	if len(body) > 0 {
		if err := decode(body, &struct{}{}); err != nil {
			return nil, err
		}
	}
	fn()
	return struct{}{}, nil
}

func (t *TestMode) scarceExpedited(body []byte) (any, error) {
	var in struct {
		On *bool `json:"on"`
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	if in.On == nil {
		return nil, errors.New(`say whether, as in {"on": true}`)
	}
	t.ScarceExpedited(*in.On)
	return in, nil
}

func (t *TestMode) throttle(body []byte) (any, error) {
	var in struct {
		Requests *int `json:"requests"`
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	if in.Requests == nil || *in.Requests < 0 || *in.Requests > throttledMax {
		return nil, fmt.Errorf(`say how many, from 0 to %d, as in {"requests": 3}`, throttledMax)
	}
	t.Throttle(*in.Requests)
	return in, nil
}

// decode reads one JSON object that holds nothing unknown.
func decode(body []byte, v any) error {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return errors.New("the body is no JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("the body is not as it should be: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// complain says what is wrong with a request, or with the server.
func complain(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var large *http.MaxBytesError
	var refused *clock.Refused
	switch {
	case errors.As(err, &refused):
		status = http.StatusConflict
	case errors.As(err, &large):
		status = http.StatusRequestEntityTooLarge
	case moraine.IsKind(err, moraine.NotFound):
		status = http.StatusNotFound
	case moraine.IsKind(err, moraine.Unavailable):
		status = http.StatusServiceUnavailable
	}
	send(w, status, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, v any) { send(w, http.StatusOK, v) }

// send answers with JSON. What is sent here always encodes, and a client that
// went away misses it.
func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
