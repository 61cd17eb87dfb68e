package load

import (
	"slices"
	"time"
)

// Job is requests to one server. At least one of Duration, Count and Bytes
// bounds it; no request begins after any of them is reached.
type Job struct {
	Addr     string
	Conns    int
	Duration time.Duration
	Count    int   // of requests
	Bytes    int64 // of bodies, both ways
	Want     int   // status of every reply; another one ends the job
	// Next appends the head of request i, which connection conn is about to
	// send, and returns it with the body, nil for none.
	Next func(conn, i int, head []byte, now time.Time) ([]byte, *Body)
	// Done is told of every reply, and may end the job. May be nil.
	Done func(i int, r *Reply) error
	// Discard drops the bodies of replies in the kernel, uncopied. A server that
	// sends pages of its page cache then moves bytes that no processor touches,
	// as it would to another machine; a client on this one would read them.
	Discard bool
	// Idle is how long nothing may happen before the job fails; zero: a minute.
	Idle time.Duration
}

// Result is what a job did. It holds the time each request took, sorted.
type Result struct {
	Took           []time.Duration
	Elapsed        time.Duration
	Sent, Received int64         // bytes of bodies
	ClientCPU      time.Duration // of this process, user and system
}

// Ops is the number of requests.
func (r *Result) Ops() int { return len(r.Took) }

// Percentile returns the time that a share p of the requests did not exceed.
func (r *Result) Percentile(p float64) time.Duration {
	if len(r.Took) == 0 {
		return 0
	}
	return r.Took[min(len(r.Took)-1, int(p*float64(len(r.Took))))]
}

func (r *Result) sort() { slices.Sort(r.Took) }
