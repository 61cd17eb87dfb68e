package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/audit"
	"moraine/internal/job"
	"moraine/internal/peer"
	"moraine/internal/sigv4"
	"moraine/internal/vault"
)

// apiVersion is the only value of x-amz-glacier-version.
const apiVersion = "2012-06-01"

// Principals tells whom a verified request speaks for.
type Principals interface {
	Principal(r *sigv4.Result) (access.Principal, error)
}

// Config is what a Server is made of.
type Config struct {
	Vaults     *vault.Service   // required
	Jobs       *job.Service     // required
	Verifier   *sigv4.Verifier  // required
	Principals Principals       // required
	Now        func() time.Time // zero: time.Now; for request ids and durations
	Log        *slog.Logger     // zero: discard; gets one event per request
	// Observe is called once per request, with its context, and must not block.
	// Zero: nothing.
	Observe  func(context.Context, Event)
	Audit    *audit.Log       // zero: none; gets one record per request
	Throttle *access.Throttle // zero: no limit
	Replays  *sigv4.Replays   // zero: none are noticed
	// Claimed tells whom an access key belongs to, for the records of requests
	// that were not verified. Zero: nobody knows.
	Claimed func(ctx context.Context, keyID string) (access.Principal, bool)

	// HeaderBytesMax bounds request line and headers. Zero: 64 KiB.
	HeaderBytesMax int64
	// Proxies are those whose word about their clients is taken. Zero: nobody's.
	Proxies peer.Proxies

	// Hinder makes a test's wish come true: its error answers a request that is
	// authentic, instead of the operation. upload says that the body is an
	// archive or a part. Zero: nothing is hindered.
	Hinder func(upload bool) error

	// BodyRateMin is the slowest upload that is tolerated, in bytes per
	// second over BodyWindow. Zero: 1024.
	BodyRateMin int64
	// BodyWindow is the time over which the rate is taken. Zero: 30 s.
	BodyWindow time.Duration
}

// Event is what happened to one request.
type Event struct {
	RequestID string
	Operation string // "" if the request was not routed
	Account   string // of the signer, "" if not authenticated
	KeyID     string // access key id, "" if not authenticated
	Vault     string
	Method    string
	Remote    string // the other end of the connection
	Source    string // address of the client, where a trusted proxy told it
	Status    int
	Code      string // error code, "" on success
	BytesIn   int64  // of the body, as far as it was read
	BytesOut  int64  // of the body
	Duration  time.Duration
	Err       error // with its private causes, nil on success
}

// Server is the HTTP handler of the API.
type Server struct {
	cfg    Config
	routes router
}

// New assembles a Server and touches nothing.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.BodyRateMin == 0 {
		cfg.BodyRateMin = 1024
	}
	if cfg.HeaderBytesMax == 0 {
		cfg.HeaderBytesMax = 64 << 10
	}
	if cfg.BodyWindow == 0 {
		cfg.BodyWindow = 30 * time.Second
	}
	return &Server{cfg: cfg, routes: newRouter(operations)}
}

// call is one request on its way. It belongs to the goroutine that serves it.
type call struct {
	w      *responseWriter
	r      *http.Request
	target target
	query  url.Values // the first value of a name counts (§1.9)
	auth   *sigv4.Result
	who    access.Call
	body   *bodyReader // of a streamed operation
	event  *Event

	from     peer.Client
	server   *Server
	start    time.Time
	handled  bool // the operation has begun
	recorded bool // the audit record is made
	noted    bool // its signature is remembered
	replayed bool // a request with the same signature was here before
}

// ServeHTTP implements http.Handler. The steps are those of glacier-api §1.12.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		io.WriteString(w, "ok\n")
		return
	}
	start := time.Now()
	event := Event{RequestID: moraine.NewRequestID(s.cfg.Now()), Method: r.Method, Remote: r.RemoteAddr}
	c := &call{w: &responseWriter{ResponseWriter: w}, r: r, event: &event, from: s.cfg.Proxies.Client(r), server: s, start: start}
	if c.from.Forwarded {
		event.Source = c.from.Source
	}
	// The exact spelling of the documentation, which Set would change.
	w.Header()["x-amzn-RequestId"] = []string{event.RequestID}
	defer func() {
		if c.noted && c.w.status/100 == 2 {
			s.cfg.Replays.Completed(c.auth)
		}
		event.Duration = time.Since(start)
		event.Status, event.BytesOut = c.w.status, c.w.bytes
		event.BytesIn = c.bytesIn()
		c.settle()
		s.record(r.Context(), &event)
	}()
	if err := s.serve(c); err != nil {
		s.refuse(c, err)
	}
}

// serve runs a request up to its reply. An error means that nothing was
// written yet.
func (s *Server) serve(c *call) error {
	if err := sigv4.CheckHeaderBlock(c.r, s.cfg.HeaderBytesMax); err != nil {
		return err
	}
	if err := sigv4.CheckTransport(c.r); err != nil {
		return err
	}
	rawPath, rawQuery, _ := strings.Cut(c.r.RequestURI, "?")
	var err error
	if c.target, err = s.routes.route(c.r.Method, rawPath); err != nil {
		return err
	}
	c.event.Operation, c.event.Vault = c.target.op.name, c.target.vault[:min(len(c.target.vault), moraine.VaultNameMax)]
	if c.query, err = sigv4.ParseQuery(rawQuery); err != nil {
		return err
	}
	s.routes.dispatch(&c.target, c.query.Get("operation"))
	op := c.target.op
	c.event.Operation = op.name
	if c.auth, err = s.verify(c); err != nil {
		return err
	}
	principal, err := s.cfg.Principals.Principal(c.auth)
	if err != nil {
		return err
	}
	c.event.KeyID, c.event.Account = c.auth.KeyID, string(principal.Account)
	c.who = access.Call{
		Principal: principal, Region: moraine.Region(c.auth.Region), Account: c.target.account,
		Source: c.from.Source, Secure: c.from.Secure,
		UserAgent: c.r.UserAgent(), Referer: c.r.Referer(),
	}
	if err := c.noteReplay(); err != nil {
		return err
	}
	if err := c.checkVersion(); err != nil {
		return err
	}
	if err := s.cfg.Throttle.Admit(&principal); err != nil {
		return err
	}
	if op.streamed {
		c.body = s.newBodyReader(c)
	}
	c.handled = true
	if err := s.hindered(c); err != nil {
		return err
	}
	return op.handle(s, c)
}

// onlyOnce are the operations that do something more when they are repeated, or
// something else (access-control §1.13).
var onlyOnce = map[string]bool{
	"UploadArchive": true, "DeleteArchive": true, "PurchaseProvisionedCapacity": true,
}

// noteReplay remembers the signature of a request that changes something, and
// refuses it if it must not be performed again.
func (c *call) noteReplay() (err error) {
	if audit.ReadOnly(c.target.op.name) {
		return nil
	}
	c.replayed, err = c.server.cfg.Replays.Note(c.auth, onlyOnce[c.target.op.name])
	c.noted = err == nil
	return err
}

// bytesIn counts the body as far as it was read.
func (c *call) bytesIn() int64 {
	switch {
	case c.body != nil:
		return c.body.total
	case c.auth != nil:
		return int64(len(c.auth.Body))
	}
	return 0
}

// verify checks the signature. A body that is not streamed is read here and
// must be complete within one window.
func (s *Server) verify(c *call) (*sigv4.Result, error) {
	streamed := c.target.op.streamed
	if !streamed && c.r.ContentLength != 0 {
		control := http.NewResponseController(c.w.ResponseWriter)
		if err := control.SetReadDeadline(time.Now().Add(s.cfg.BodyWindow)); err != nil {
			return nil, err
		}
		defer control.SetReadDeadline(time.Time{})
	}
	return s.cfg.Verifier.Verify(c.r.Context(), c.r, streamed)
}

// checkVersion wants the API version; a presigned URL may leave it out or
// carry it in the query (access-control §1.7).
func (c *call) checkVersion() error {
	version := c.header("x-amz-glacier-version")
	if c.auth.Presigned && version == "" {
		if version = c.query.Get("x-amz-glacier-version"); version == "" {
			version = apiVersion
		}
	}
	switch version {
	case apiVersion:
		return nil
	case "":
		return moraine.Errorf(moraine.Missing, "Required parameter missing: API version")
	}
	return moraine.Errorf(moraine.Invalid, "Unsupported API version: %s", version)
}

// header returns a request header without surrounding spaces, "" if absent.
func (c *call) header(name string) string { return strings.Trim(c.r.Header.Get(name), " \t") }

// Bounds of what is still read of a body after it was refused, so that a
// client that sends first and listens later gets to read the answer.
const (
	drainMax  = 64 << 20
	drainTime = 10 * time.Second
)

// refuse answers with the wire form of err.
func (s *Server) refuse(c *call, err error) {
	e := toWire(err)
	c.event.Code, c.event.Err = e.Code, err
	c.concludeRefused(&e, err)
	unread := c.r.ContentLength > 0 && (c.body == nil && c.auth == nil || c.body != nil && c.body.left > 0)
	waiting := c.r.Header.Get("Expect") != "" && (c.body == nil || c.body.total == 0)
	control := http.NewResponseController(c.w.ResponseWriter)
	if unread || sigv4.Malformed(err) {
		c.w.Header().Set("Connection", "close")
	}
	if unread && !waiting {
		// Answer first, then read on for a while; an error here only means that
		// the answer waits for the body.
		_ = control.EnableFullDuplex()
	}
	writeJSON(c.w, e.Status, e.body())
	if unread && !waiting && e.Status != http.StatusRequestTimeout {
		_ = control.Flush()
		_ = control.SetReadDeadline(time.Now().Add(drainTime))
		_, _ = io.CopyN(io.Discard, c.r.Body, drainMax)
	}
}

// record writes the one event of a request.
func (s *Server) record(ctx context.Context, e *Event) {
	if s.cfg.Observe != nil {
		s.cfg.Observe(ctx, *e)
	}
	level := slog.LevelInfo
	if e.Status >= 500 {
		level = slog.LevelError
	}
	if !s.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", e.RequestID), slog.String("op", e.Operation), slog.Int("status", e.Status),
		slog.String("method", e.Method), slog.String("remote", e.Remote), slog.String("key", e.KeyID),
		slog.String("vault", e.Vault), slog.Int64("in", e.BytesIn), slog.Int64("out", e.BytesOut),
		slog.Duration("took", e.Duration),
	}
	if e.Source != "" {
		attrs = append(attrs, slog.String("source", e.Source))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("code", e.Code), slog.String("err", e.Err.Error()))
	}
	s.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}

// responseWriter remembers the status and counts the body.
type responseWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *responseWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// bodyReader reads the body of an upload and refuses one that comes too
// slowly: the bytes of each window must arrive before it ends. There is no
// limit on the total time (§4.1).
type bodyReader struct {
	body    io.Reader
	control *http.ResponseController
	window  time.Duration
	need    int64 // bytes that end a window
	seen    int64 // bytes in this window
	total   int64
	left    int64
}

func (s *Server) newBodyReader(c *call) *bodyReader {
	return &bodyReader{
		body: c.r.Body, control: http.NewResponseController(c.w.ResponseWriter),
		window: s.cfg.BodyWindow, need: max(1, s.cfg.BodyRateMin*int64(s.cfg.BodyWindow/time.Second)),
		left: c.r.ContentLength,
	}
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.total == 0 || b.seen >= b.need {
		b.seen = 0
		if err := b.control.SetReadDeadline(time.Now().Add(b.window)); err != nil {
			return 0, err
		}
	}
	n, err := b.body.Read(p)
	b.seen += int64(n)
	b.total += int64(n)
	b.left -= int64(n)
	if b.left == 0 || err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		err = moraine.Wrap(err, moraine.Timeout, "Request timed out.")
	}
	return n, err
}

// created answers 201 or 202 with headers only; location is "" where there is
// none. extra holds pairs of header names and values.
func (c *call) created(status int, location string, extra ...string) error {
	if err := c.conclude(location, extra...); err != nil {
		return err
	}
	h := c.w.Header()
	if location != "" {
		h.Set("Location", location)
	}
	for i := 0; i+1 < len(extra); i += 2 {
		h[extra[i]] = []string{extra[i+1]}
	}
	h.Set("Content-Length", "0")
	c.w.WriteHeader(status)
	return nil
}

// done answers 204. extra holds pairs of header names and values.
func (c *call) done(extra ...string) error {
	if err := c.conclude("", extra...); err != nil {
		return err
	}
	for i := 0; i+1 < len(extra); i += 2 {
		c.w.Header()[extra[i]] = []string{extra[i+1]}
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// ok answers 200 with a JSON body.
func (c *call) ok(v any) error {
	body := encodeJSON(v)
	if err := c.conclude(""); err != nil {
		return err
	}
	writeJSON(c.w, http.StatusOK, body)
	return nil
}

// location is the relative path of a thing in a vault (§1.6).
func location(v *moraine.Vault, kind, id string) string {
	path := "/" + string(v.Account) + "/vaults/" + string(v.Name)
	if kind != "" {
		path += "/" + kind + "/" + id
	}
	return path
}

// millis prints a date of vaults, uploads and jobs: UTC with exactly three
// fraction digits (§1.8); null for the zero time.
func millis(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &s
}

// orNull is null for "".
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
