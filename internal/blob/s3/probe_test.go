package s3_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestProbe tries buckets of stores that each lack one ability: the error says
// which, and a try leaves nothing behind.
func TestProbe(t *testing.T) {
	t.Parallel()
	deny := func(when func(r *http.Request) bool) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if when(r) {
					w.Header().Set("Content-Type", "application/xml")
					w.WriteHeader(http.StatusForbidden)
					_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code><Message>no</Message></Error>"))
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	}
	object := func(r *http.Request) bool { return strings.Count(r.URL.Path, "/") > 2 }
	without := func(header string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del(header)
				next.ServeHTTP(w, r)
			})
		}
	}
	for name, tt := range map[string]struct {
		front func(http.Handler) http.Handler
		class string
		want  string // "" for no error
		note  string
	}{
		"all it needs":  {nil, "", "", ""},
		"no writes":     {deny(func(r *http.Request) bool { return r.Method == http.MethodPut }), "", "needs s3:PutObject", ""},
		"no reads":      {deny(func(r *http.Request) bool { return r.Method == http.MethodGet && object(r) }), "", "needs s3:GetObject", ""},
		"no list":       {deny(func(r *http.Request) bool { return r.URL.Query().Get("list-type") == "2" }), "", "needs s3:ListBucket", ""},
		"no deletions":  {deny(func(r *http.Request) bool { return r.Method == http.MethodDelete && !r.URL.Query().Has("uploadId") }), "", "needs s3:DeleteObject", ""},
		"no parts":      {deny(func(r *http.Request) bool { return r.Method == http.MethodPost }), "", "upload in parts cannot be begun", ""},
		"no abort":      {deny(func(r *http.Request) bool { return r.URL.Query().Has("uploadId") }), "", "needs s3:AbortMultipartUpload", ""},
		"no ranges":     {without("Range"), "", "range", ""},
		"no conditions": {without("If-None-Match"), "", "", "no conditional writes"},
		"no such class": {deny(func(r *http.Request) bool { return r.Header.Get("X-Amz-Storage-Class") == "GLACIER" }), "GLACIER", "cannot be written to", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tt.front)
			cfg := f.config()
			cfg.Class = tt.class
			s := open(t, cfg)
			defer s.Close()
			notes, err := s.Probe(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if all := strings.Join(notes, "\n"); !strings.Contains(all, tt.note) || tt.note == "" && all != "" {
				t.Errorf("notes %q, want %q", all, tt.note)
			}
			if keys := f.keys(t); name != "no deletions" && len(keys) > 0 {
				t.Errorf("left behind: %v", keys)
			}
			if err != nil && strings.Contains(err.Error(), cfg.SecretAccessKey) {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
	t.Run("two at once", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, deny(func(r *http.Request) bool {
			return r.Method == http.MethodDelete || r.URL.Query().Get("list-type") == "2"
		}))
		s := open(t, f.config())
		defer s.Close()
		_, err := s.Probe(t.Context())
		for _, want := range []string{"s3:ListBucket", "s3:DeleteObject", "s3:AbortMultipartUpload"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not name %s", err, want)
			}
		}
	})
}
