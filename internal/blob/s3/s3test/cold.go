// Package s3test is what tests of buckets stand on: a handler that makes a store
// cold.
//
// It knows the requests of S3 that have to do with classes that must be restored.
// It must not know who makes them; it is for tests.
package s3test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cold stands in front of a store that knows no storage classes, and refuses to
// read objects of a cold class until their restoration was asked for and its time
// has passed.
type Cold struct {
	Next  http.Handler
	Now   func() time.Time
	Delay func(tier string) time.Duration // of a restoration

	mu      sync.Mutex // guards the rest
	classes map[string]string
	asked   map[string]restoration
	list    []Request
}

// Request is a restoration that was asked for.
type Request struct {
	Path, Tier string
	Days       int
}

type restoration struct {
	ready, expires time.Time
}

// Requests returns what was asked for, and not already under way.
func (c *Cold) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// Class is the class of an object; "" if it has none.
func (c *Cold) Class(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.classes[path]
}

// Cold reports how many objects are of a cold class.
func (c *Cold) Cold() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, class := range c.classes {
		if isCold(class) {
			n++
		}
	}
	return n
}

func isCold(class string) bool { return class == "GLACIER" || class == "DEEP_ARCHIVE" }

func (c *Cold) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	if c.classes == nil {
		c.classes, c.asked = map[string]string{}, map[string]restoration{}
	}
	query := r.URL.Query()
	path := r.URL.Path
	switch {
	case r.Method == http.MethodPut && !query.Has("partNumber"), r.Method == http.MethodPost && query.Has("uploads"):
		delete(c.classes, path)
		delete(c.asked, path)
		if class := r.Header.Get("X-Amz-Storage-Class"); class != "" {
			c.classes[path] = class
		}
	case r.Method == http.MethodDelete && !query.Has("uploadId"):
		delete(c.classes, path)
		delete(c.asked, path)
	case r.Method == http.MethodPost && query.Has("restore"):
		defer c.mu.Unlock()
		c.restore(w, r)
		return
	case r.Method == http.MethodGet && isCold(c.classes[path]) && !c.readable(path):
		c.mu.Unlock()
		refuse(w, http.StatusForbidden, "InvalidObjectState")
		return
	case r.Method == http.MethodHead && c.classes[path] != "":
		w.Header().Set("X-Amz-Storage-Class", c.classes[path])
		if a, ok := c.asked[path]; ok && c.Now().Before(a.ready) {
			w.Header().Set("X-Amz-Restore", `ongoing-request="true"`)
		} else if ok && c.Now().Before(a.expires) {
			w.Header().Set("X-Amz-Restore", `ongoing-request="false", expiry-date="`+a.expires.UTC().Format(http.TimeFormat)+`"`)
		}
	}
	c.mu.Unlock()
	c.Next.ServeHTTP(w, r)
}

// readable reports whether an object is restored now.
func (c *Cold) readable(path string) bool {
	a, ok := c.asked[path]
	now := c.Now()
	return ok && !now.Before(a.ready) && now.Before(a.expires)
}

func (c *Cold) restore(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	var body struct {
		Days                 int
		GlacierJobParameters struct{ Tier string }
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err == nil {
		err = xml.Unmarshal(raw, &body)
	}
	a, asked := c.asked[path]
	tier, now := body.GlacierJobParameters.Tier, c.Now()
	switch {
	case err != nil || body.Days < 1 || !slices.Contains([]string{"Expedited", "Standard", "Bulk"}, tier):
		refuse(w, http.StatusBadRequest, "MalformedXML")
	case !isCold(c.classes[path]), tier == "Expedited" && strings.HasPrefix(c.classes[path], "DEEP"):
		refuse(w, http.StatusForbidden, "InvalidObjectState")
	case asked && now.Before(a.ready):
		refuse(w, http.StatusConflict, "RestoreAlreadyInProgress")
	case asked && now.Before(a.expires):
		a.expires = now.AddDate(0, 0, body.Days)
		c.asked[path] = a
		c.list = append(c.list, Request{path, tier, body.Days})
		w.WriteHeader(http.StatusOK)
	default:
		ready := now.Add(c.Delay(tier))
		c.asked[path] = restoration{ready, ready.AddDate(0, 0, body.Days)}
		c.list = append(c.list, Request{path, tier, body.Days})
		w.WriteHeader(http.StatusAccepted)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}
