package server

import (
	"context"
	"net/http"
	"os"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/meta"
)

// watched is the rows as services use them: timed for the metrics, with spans if
// there are traces.
func (n *node) watched(s meta.Store) meta.Store {
	return timed{n.tracer.Rows(s), func(kind adminapi.Transaction, took time.Duration) { n.metrics.Transacted(kind, took) }}
}

// timed is a store whose transactions are timed.
type timed struct {
	meta.Store
	took func(adminapi.Transaction, time.Duration)
}

// View implements meta.Store.
func (t timed) View(ctx context.Context, fn func(meta.Tx) error) error {
	began := time.Now()
	defer func() { t.took(adminapi.View, time.Since(began)) }()
	return t.Store.View(ctx, fn)
}

// Update implements meta.Store.
func (t timed) Update(ctx context.Context, fn func(meta.Tx) error) error {
	began := time.Now()
	defer func() { t.took(adminapi.Update, time.Since(began)) }()
	return t.Store.Update(ctx, fn)
}

// counted counts the requests that next has under way.
func (n *node) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.metrics.Began()
		defer n.metrics.Ended()
		next.ServeHTTP(w, r)
	})
}

// traceJob returns what makes a span of each run of a job; nil if there are no
// traces.
func (n *node) traceJob() func(context.Context, *moraine.Job) (context.Context, func(error)) {
	if n.tracer == nil {
		return nil
	}
	return func(ctx context.Context, j *moraine.Job) (context.Context, func(error)) {
		ctx, span := n.tracer.Start(ctx, "job "+string(j.Action))
		span.Text("moraine.job", string(j.ID))
		return ctx, span.End
	}
}

// hostname names this node in the metrics; "" if the machine has no name.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
