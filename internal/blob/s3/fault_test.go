package s3_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/s3"
)

// wire carries requests and does to some of them what choose says.
type wire struct {
	next http.RoundTripper

	mu     sync.Mutex // guards the rest
	count  int
	choose func(n int, r *http.Request) fault // nil: nothing
}

// fault is what becomes of a request.
type fault int

const (
	none      fault = iota
	lost            // it never arrives
	unheard         // it is done, and the answer is lost
	slowDown        // the store refuses it for now
	broken          // the store fails
	truncated       // the answer's body breaks off in the middle
	spoilt          // a byte of the answer's body is wrong
	garbled         // a byte of the request's body is wrong
	scant           // the answer to a range has less than was asked for
)

func newWire() *wire { return &wire{next: &http.Transport{}} }

// set changes what is done, and counts from one again.
func (w *wire) set(choose func(n int, r *http.Request) fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count, w.choose = 0, choose
}

func (w *wire) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

var errWire = errors.New("the wire is cut")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.count++
	what := none
	if w.choose != nil {
		what = w.choose(w.count, r)
	}
	w.mu.Unlock()
	refuse := func(status int, code string) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}
		body := "<Error><Code>" + code + "</Code><Message>no</Message></Error>"
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/xml"}}, Request: r, ProtoMajor: 1, ProtoMinor: 1,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
	switch what {
	case lost:
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errWire
	case slowDown:
		return refuse(http.StatusServiceUnavailable, "SlowDown")
	case broken:
		return refuse(http.StatusInternalServerError, "InternalError")
	case garbled:
		if r.Body != nil && r.ContentLength > 0 {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			body[len(body)/2] ^= 1
			r = r.Clone(r.Context())
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
	}
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch what {
	case unheard:
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return nil, errWire
	case scant:
		var from, to, total int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &total); err == nil && to > from {
			to = from + (to-from)/2
			resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, total))
		}
	case truncated, spoilt:
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if what == spoilt && len(body) > 0 {
			body[len(body)/2] ^= 1
			resp.Body = io.NopCloser(bytes.NewReader(body))
		} else {
			resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), failing{}))
		}
	}
	return resp, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// everyFault has a store refuse and fail requests of an upload in parts, too. It
// has then done nothing, as one that was not reached, and smaller blobs show what
// is made of its answer; here that sends nine megabytes again and again.
var everyFault = flag.Bool("every-fault", false, "fail uploads in parts in every way")

// faultSizes are those of a record, an object put by one request, and one in parts.
var faultSizes = []int64{1000, 2 << 20, 9<<20 + 1}

// content returns what Walk shows and what can be read of it.
func content(t *testing.T, s *s3.Store) map[moraine.BlobID][]byte {
	t.Helper()
	all := map[moraine.BlobID][]byte{}
	err := s.Walk(t.Context(), func(i blob.Info) error {
		if _, ok := all[i.ID]; ok {
			t.Errorf("blob %s is there twice", i.ID)
		}
		data, err := read(t.Context(), s, i.Ref, 0, i.Size)
		all[i.ID] = data
		return err
	}, func(err error) { t.Errorf("damage: %v", err) })
	if err != nil {
		t.Error(err)
	}
	return all
}

// TestEveryRequestFails fails each request of a Put in turn, once and from then
// on for ever. After one failure the blob is stored, once. After many it is
// refused, and there is nothing of it or an orphan that is whole; the store works
// when the wire does.
func TestEveryRequestFails(t *testing.T) {
	t.Parallel()
	for name, what := range map[string]fault{"lost": lost, "unheard": unheard, "slow down": slowDown, "broken": broken} {
		for _, size := range faultSizes {
			if size > 8<<20 && (what == slowDown || what == broken) && !*everyFault {
				continue
			}
			for _, ever := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d bytes, for ever %v", name, size, ever), func(t *testing.T) {
					t.Parallel()
					w := newWire()
					cfg := newFake(t, nil).config()
					cfg.Transport = w
					s := open(t, cfg)
					defer s.Close()
					data := blobtest.Bytes(size)
					for at := 1; ; at++ {
						w.set(func(n int, _ *http.Request) fault {
							if n == at || ever && n > at {
								return what
							}
							return none
						})
						id := moraine.NewBlobID(time.Now())
						ref, err := s.Put(t.Context(), id, bytes.NewReader(data), size)
						reached := w.requests() >= at
						w.set(nil)
						there := content(t, s)
						got, stored := there[id]
						switch {
						case !reached && err != nil, !ever && err != nil:
							t.Fatalf("request %d fails, and Put does: %v", at, err)
						case err != nil && !moraine.IsKind(err, moraine.Unavailable):
							t.Fatalf("request %d: %v", at, err)
						case err == nil && !stored, stored && !bytes.Equal(got, data), err == nil && ever && reached && what != unheard:
							t.Fatalf("request %d: Put says %v, and %d bytes are there", at, err, len(got))
						}
						if ref == "" && stored {
							err = s.Walk(t.Context(), func(i blob.Info) error { return s.Delete(t.Context(), i.Ref) }, nil)
						} else if ref != "" {
							err = s.Delete(t.Context(), ref)
						} else {
							err = nil
						}
						if err != nil || len(content(t, s)) != 0 {
							t.Fatalf("request %d: deletion %v", at, err)
						}
						if !reached {
							return
						}
					}
				})
			}
		}
	}
}

// TestOthersBytes has the store answer a repeated request that the object exists,
// which has other bytes: that is never acknowledged.
func TestOthersBytes(t *testing.T) {
	t.Parallel()
	for name, start := range stores() {
		for _, size := range []int64{1000, 3 << 20} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				t.Parallel()
				w := newWire()
				cfg := start(t)
				raw := rawClient(cfg)
				cfg.Transport = w
				s := open(t, cfg)
				defer s.Close()
				w.set(func(n int, r *http.Request) fault {
					if n > 1 || r.Method != http.MethodPut {
						return none
					}
					body := make([]byte, r.ContentLength)
					_, err := raw.PutObject(context.Background(), &awss3.PutObjectInput{
						Bucket: aws.String(bucketName), Key: aws.String(strings.TrimPrefix(r.URL.Path, "/"+bucketName+"/")), Body: bytes.NewReader(body),
					})
					if err != nil {
						t.Error(err)
					}
					return lost
				})
				ref, err := s.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(blobtest.Bytes(size)), size)
				if ref != "" || !moraine.IsKind(err, moraine.Unavailable) || w.requests() < 2 {
					t.Errorf("Put of bytes that others took the place of: %q, %v", ref, err)
				}
			})
		}
	}
}

// stores are those that a test runs over.
func stores() map[string]func(t *testing.T) s3.Config {
	return map[string]func(t *testing.T) s3.Config{
		"gofakes3":  func(t *testing.T) s3.Config { return newFake(t, nil).config() },
		"versitygw": func(t *testing.T) s3.Config { return newGateway(t) },
	}
}

// TestGarbledRequest has a byte change on the way to a real store: it is found out
// there, or by us, and nothing is acknowledged that is not what was sent.
func TestGarbledRequest(t *testing.T) {
	t.Parallel()
	for _, size := range faultSizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			w := newWire()
			cfg := newGateway(t)
			cfg.Transport = w
			s := open(t, cfg)
			defer s.Close()
			data := blobtest.Bytes(size)
			body := func(r *http.Request) bool { return r.Method == http.MethodPut && r.ContentLength > 100 }
			w.set(func(_ int, r *http.Request) fault {
				if body(r) {
					return garbled
				}
				return none
			})
			if ref, err := s.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(data), size); !moraine.IsKind(err, moraine.Unavailable) {
				t.Errorf("bytes that change on every way: %q, %v", ref, err)
			}
			w.set(nil)
			if there := content(t, s); len(there) > 0 {
				t.Errorf("%d blobs are there", len(there))
			}
		})
	}
}

// TestAnswersBreak breaks or spoils answers of reads: now and then is made good,
// always is an error, and no wrong byte is ever delivered.
func TestAnswersBreak(t *testing.T) {
	t.Parallel()
	for _, size := range faultSizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			w := newWire()
			cfg := newFake(t, nil).config()
			cfg.Transport = w
			s := open(t, cfg)
			defer s.Close()
			data := blobtest.Bytes(size)
			ref, err := s.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(data), size)
			if err != nil {
				t.Fatal(err)
			}
			gets := func(every int, what fault) func(int, *http.Request) fault {
				seen := 0
				return func(_ int, r *http.Request) fault {
					if r.Method != http.MethodGet {
						return none
					}
					if seen++; seen%every == 0 || every == 1 {
						return what
					}
					return none
				}
			}
			once := func(what fault) func(int, *http.Request) fault {
				done := false
				return func(_ int, r *http.Request) fault {
					if done || r.Method != http.MethodGet {
						return none
					}
					done = true
					return what
				}
			}
			for name, tt := range map[string]struct {
				choose func(int, *http.Request) fault
				kind   moraine.Kind // of the error; 0: none
			}{
				"truncated once":     {once(truncated), 0},
				"spoilt once":        {once(spoilt), 0},
				"lost once":          {once(lost), 0},
				"broken once":        {once(broken), 0},
				"every other lost":   {gets(2, lost), 0},
				"spoilt for ever":    {gets(1, spoilt), moraine.Corrupt},
				"lost for ever":      {gets(1, lost), moraine.Unavailable},
				"slow down for ever": {gets(1, slowDown), moraine.Unavailable},
				"scant for ever":     {gets(1, scant), moraine.Unavailable},
			} {
				w.set(tt.choose)
				got, err := read(t.Context(), s, ref, 0, size)
				if !bytes.Equal(got, data[:len(got)]) {
					t.Fatalf("%s: wrong bytes", name)
				}
				if tt.kind == 0 && (err != nil || len(got) != len(data)) || tt.kind != 0 && !moraine.IsKind(err, tt.kind) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
				w.set(nil)
			}
		})
	}
}

// TestSpoiltOnce spoils one answer after the other, once: what is asked beside the
// data of a blob is not taken for damaged because of that either.
func TestSpoiltOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1000, 2 << 20} {
		w := newWire()
		cfg := newFake(t, nil).config()
		cfg.Transport = w
		s := open(t, cfg)
		defer s.Close()
		i := blob.Info{ID: moraine.NewBlobID(time.Now()), Size: size}
		var err error
		if i.Ref, err = s.Put(t.Context(), i.ID, bytes.NewReader(blobtest.Bytes(size)), size); err != nil {
			t.Fatal(err)
		}
		for name, ask := range map[string]func() error{
			"Stat":   func() error { _, err := s.Stat(t.Context(), i.Ref); return err },
			"Leaves": func() error { _, err := s.Leaves(t.Context(), i.Ref, 0, 1); return err },
			"Walk": func() error {
				var bad error
				return errors.Join(s.Walk(t.Context(), func(blob.Info) error { return nil }, func(err error) { bad = err }), bad)
			},
			"Check": func() error {
				found, err := s.Check(t.Context(), i, make([]byte, 1<<20), func(int) error { return nil })
				if err == nil {
					err = found[0].Err
				}
				return err
			},
		} {
			for n := 1; ; n++ {
				asked := 0 // for ranges
				w.set(func(_ int, r *http.Request) fault {
					if r.Header.Get("Range") == "" {
						return none
					}
					if asked++; asked == n {
						return spoilt
					}
					return none
				})
				if err := ask(); err != nil {
					t.Errorf("%s of %d bytes, answer %d spoilt once: %v", name, size, n, err)
				}
				w.set(nil)
				if asked < n {
					break
				}
			}
		}
	}
}

// TestDamageAtRest changes stored objects: every byte of them matters, or is
// found to be as it was.
func TestDamageAtRest(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	s := open(t, f.config())
	defer s.Close()
	raw := rawClient(f.config())
	// The second leaf of the last is as short as can be: an object is sent and
	// read whole for each byte that is changed.
	for _, object := range []struct {
		size   int64
		places int // that are changed
	}{{300, 60}, {70_000, 60}, {1<<20 + 3, 20}} {
		size := object.size
		data := blobtest.Bytes(size)
		i := blob.Info{ID: moraine.NewBlobID(time.Now()), Size: size}
		var err error
		if i.Ref, err = s.Put(t.Context(), i.ID, bytes.NewReader(data), size); err != nil {
			t.Fatal(err)
		}
		key := ""
		for _, k := range f.keys(t) {
			if strings.Contains(k, strings.Split(string(i.Ref), ":")[1]) {
				key = k
			}
		}
		in := &awss3.GetObjectInput{Bucket: aws.String(bucketName), Key: aws.String(key)}
		out, err := raw.GetObject(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		put := func(p []byte) {
			t.Helper()
			if _, err := raw.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: in.Bucket, Key: in.Key, Body: bytes.NewReader(p)}); err != nil {
				t.Fatal(err)
			}
		}
		check := func() error {
			t.Helper()
			found, err := s.Check(t.Context(), i, make([]byte, 1<<20), func(int) error { return nil })
			if err != nil || len(found) != 1 {
				t.Fatalf("Check: %v, %v", found, err)
			}
			return found[0].Err
		}
		step := max(1, len(whole)/object.places)
		for at := 0; at < len(whole); at += step {
			p := bytes.Clone(whole)
			p[at] ^= 0x10
			put(p)
			got, err := read(t.Context(), s, i.Ref, 0, size)
			if !bytes.Equal(got, data[:len(got)]) || err == nil && len(got) != len(data) || err != nil && !moraine.IsKind(err, moraine.Corrupt) {
				t.Fatalf("byte %d of %d wrong: %d bytes, %v", at, len(whole), len(got), err)
			}
			places := 0
			err2 := s.Walk(t.Context(), func(blob.Info) error { return nil }, func(error) { places++ })
			if bad := check(); bad == nil && places == 0 || bad != nil && !moraine.IsKind(bad, moraine.Corrupt) || err2 != nil {
				t.Fatalf("byte %d of %d wrong: Check says %v, Walk %d places, %v", at, len(whole), bad, places, err2)
			}
		}
		for _, n := range []int{0, 1, 79, len(whole) / 2, len(whole) - 1} {
			put(whole[:n])
			if got, err := read(t.Context(), s, i.Ref, 0, size); !bytes.Equal(got, data[:len(got)]) || err == nil && len(got) != len(data) {
				t.Fatalf("cut to %d bytes: %d bytes, %v", n, len(got), err)
			}
			if bad := check(); n < len(whole)-4 && !moraine.IsKind(bad, moraine.Corrupt) {
				t.Fatalf("cut to %d of %d bytes: Check says %v", n, len(whole), bad)
			}
		}
		put(whole)
		if bad := check(); bad != nil {
			t.Fatalf("as it was: %v", bad)
		}
		if err := s.Delete(t.Context(), i.Ref); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBucketIsGone: a bucket that is missing is a store that is away. No blob is
// lost by that.
func TestBucketIsGone(t *testing.T) {
	t.Parallel()
	cfg := newFake(t, nil).config()
	s := open(t, cfg)
	ref, err := s.Put(t.Context(), moraine.NewBlobID(time.Now()), strings.NewReader("x"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Bucket = "another"
	s = open(t, cfg)
	defer s.Close()
	if _, err := s.Open(t.Context(), ref, 0, 1); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("Open: %v", err)
	}
	if _, err := s.Stat(t.Context(), ref); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("Stat: %v", err)
	}
	if err := s.Walk(t.Context(), func(blob.Info) error { return nil }, nil); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("Walk: %v", err)
	}
}
