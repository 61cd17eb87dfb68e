package iamapi

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/audit"
	"moraine/internal/peer"
	"moraine/internal/sigv4"
)

// The two services, by the name in a credential scope.
const (
	IAM = "iam"
	STS = "sts"
)

// protocols are the versions and namespaces of the services.
var protocols = map[string]struct{ version, namespace string }{
	IAM: {"2010-05-08", "https://iam.amazonaws.com/doc/2010-05-08/"},
	STS: {"2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/"},
}

// BodyMax bounds a request, in bytes (access-control §1.9).
const BodyMax = 128 << 10

// Principals tells whom a verified request speaks for.
type Principals interface {
	Principal(r *sigv4.Result) (access.Principal, error)
}

// Config is what a Server is made of.
type Config struct {
	Accounts   *account.Service // required
	Verifier   *sigv4.Verifier  // required; for both services, with BodyMax
	Principals Principals       // required
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
	// BodyWindow is how long a body may take. Zero: 30 s.
	BodyWindow time.Duration
}

// Event is what happened to one request.
type Event struct {
	RequestID string
	Service   string // "iam" or "sts"
	Operation string // "" if there is none of the name
	Account   string // of the signer, "" if not authenticated
	KeyID     string // access key id, "" if not authenticated
	Remote    string // the other end of the connection
	Source    string // address of the client, where a trusted proxy told it
	Status    int
	Code      string // error code, "" on success
	BytesIn   int64
	BytesOut  int64
	Duration  time.Duration
	Err       error // with its private causes, nil on success
}

// Server is the HTTP handler of both services.
type Server struct {
	cfg Config
}

// New assembles a Server and touches nothing.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HeaderBytesMax == 0 {
		cfg.HeaderBytesMax = 64 << 10
	}
	if cfg.BodyWindow == 0 {
		cfg.BodyWindow = 30 * time.Second
	}
	return &Server{cfg: cfg}
}

// call is one request on its way. It belongs to the goroutine that serves it.
type call struct {
	r      *http.Request
	auth   *sigv4.Result
	who    account.Call
	params url.Values
	event  *Event
	from   peer.Client
	start  time.Time

	noted    bool // its signature is remembered
	replayed bool // a request with the same signature was here before
}

// Serves reports whether a request is meant for this package, judging by the
// service it claims to be signed for. One that claims none is judged by its
// path: the vault API has nothing to post to at the root.
func Serves(r *http.Request) bool {
	service := sigv4.ScopeService(r)
	if service == "" {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return r.Method == http.MethodPost && path == "/"
	}
	_, ok := protocols[service]
	return ok
}

// ServeHTTP implements http.Handler. The request must be one that Serves
// accepts.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	event := Event{RequestID: newRequestID(), Service: sigv4.ScopeService(r), Remote: r.RemoteAddr}
	if _, ok := protocols[event.Service]; !ok {
		event.Service = IAM
	}
	c := &call{r: r, event: &event, from: s.cfg.Proxies.Client(r), start: start}
	if c.from.Forwarded {
		event.Source = c.from.Source
	}
	result, err := s.serve(c, w)
	if err == nil {
		err = s.conclude(c, result, nil, nil)
	} else {
		// The reply is a refusal anyway, recorded or not.
		_ = s.conclude(c, nil, toWire(err), err)
	}
	var body []byte
	status := http.StatusOK
	if err == nil {
		body = encodeResult(c, result)
		if c.noted {
			s.cfg.Replays.Completed(c.auth)
		}
	} else {
		e := toWire(err)
		event.Code, event.Err = e.code, err
		body, status = encodeError(c, e), e.status
		if c.auth == nil && r.ContentLength != 0 || sigv4.Malformed(err) {
			w.Header().Set("Connection", "close") // the body was not read, or may be no body
		}
	}
	h := w.Header()
	h["x-amzn-RequestId"] = []string{event.RequestID}
	h.Set("Content-Type", "text/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store") // answers may hold secrets
	w.WriteHeader(status)
	w.Write(body)
	event.Status, event.BytesOut, event.Duration = status, int64(len(body)), time.Since(start)
	s.record(r.Context(), &event)
}

// newRequestID makes a UUID, as these services use.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// serve runs a request up to its result.
func (s *Server) serve(c *call, w http.ResponseWriter) (any, error) {
	if err := sigv4.CheckHeaderBlock(c.r, s.cfg.HeaderBytesMax); err != nil {
		return nil, err
	}
	if err := sigv4.CheckTransport(c.r); err != nil {
		return nil, err
	}
	if err := s.verify(c, w); err != nil {
		return nil, err
	}
	principal, err := s.cfg.Principals.Principal(c.auth)
	if err != nil {
		return nil, err
	}
	c.event.Service, c.event.KeyID, c.event.Account = c.auth.Service, c.auth.KeyID, string(principal.Account)
	c.event.BytesIn = int64(len(c.auth.Body))
	c.who = account.Call{Principal: principal, KeyID: c.auth.KeyID, Temporary: c.auth.Temporary, Keys: conditionKeys(c)}
	if err := s.cfg.Throttle.Admit(&principal); err != nil {
		return nil, err
	}
	if c.params, err = parameters(c); err != nil {
		return nil, err
	}
	action, version := c.params.Get("Action"), c.params.Get("Version")
	op, ok := operations[c.auth.Service+":"+action]
	if !ok || version != protocols[c.auth.Service].version {
		return nil, invalidAction(action, version)
	}
	c.event.Operation = action
	if err := c.noteReplay(s.cfg.Replays); err != nil {
		return nil, err
	}
	return op(s, c)
}

// onlyOnce are the operations whose answer holds a new secret: whoever repeats
// the request of somebody else would get one of its own.
var onlyOnce = map[string]bool{"CreateAccessKey": true, "AssumeRole": true, "GetSessionToken": true}

// noteReplay remembers the signature of a request that changes something or
// makes a key, and refuses it if it must not be performed again.
func (c *call) noteReplay(replays *sigv4.Replays) (err error) {
	once := onlyOnce[c.event.Operation]
	if !once && audit.ReadOnly(c.event.Operation) {
		return nil
	}
	c.replayed, err = replays.Note(c.auth, once)
	c.noted = err == nil
	return err
}

// verify reads the body within the window and checks the signature.
func (s *Server) verify(c *call, w http.ResponseWriter) error {
	if c.r.ContentLength != 0 {
		control := http.NewResponseController(w)
		if err := control.SetReadDeadline(time.Now().Add(s.cfg.BodyWindow)); err != nil {
			return err
		}
		defer control.SetReadDeadline(time.Time{})
	}
	var err error
	c.auth, err = s.cfg.Verifier.Verify(c.r.Context(), c.r, false)
	return err
}

// parameters reads the form in the body of a POST; STS takes it from the query
// of a GET, too.
func parameters(c *call) (url.Values, error) {
	path, query, _ := strings.Cut(c.r.RequestURI, "?")
	if path != "/" {
		return nil, invalidAction("", "")
	}
	switch {
	case c.r.Method == http.MethodPost:
		params, err := url.ParseQuery(string(c.auth.Body))
		if err != nil {
			return nil, sigv4.Refuse("T5")
		}
		return params, nil
	case c.r.Method == http.MethodGet && c.auth.Service == STS:
		return sigv4.ParseQuery(query)
	}
	return nil, invalidAction("", "")
}

// conditionKeys are what the request says that policies may ask for
// (access-control §4.3).
func conditionKeys(c *call) map[string]string {
	keys := map[string]string{
		"aws:RequestedRegion": c.auth.Region, "aws:SecureTransport": strconv.FormatBool(c.from.Secure),
		"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false",
	}
	if c.from.Source != "" {
		keys["aws:SourceIp"] = c.from.Source
	}
	for key, header := range map[string]string{"aws:UserAgent": "User-Agent", "aws:Referer": "Referer"} {
		if value := c.r.Header.Get(header); value != "" {
			keys[key] = access.Clip(value)
		}
	}
	return keys
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
		slog.String("id", e.RequestID), slog.String("op", e.Service+":"+e.Operation), slog.Int("status", e.Status),
		slog.String("remote", e.Remote), slog.String("key", e.KeyID), slog.Int64("in", e.BytesIn), slog.Int64("out", e.BytesOut),
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
