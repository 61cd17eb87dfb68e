package adminapi

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Fixity is what operators may ask for auditors. Every field is required; all
// are called from any goroutine.
type Fixity struct {
	// Key is the text of the public key that reports are signed for.
	Key func(context.Context) (KeyReply, error)
	// Report writes a report and returns its line and the signature of that. If
	// nothing was written when it fails, the error is the answer.
	Report func(ctx context.Context, q ReportQuery, w io.Writer) (line string, signature []byte, err error)
}

// The paths of fixity.
const (
	FixityKeyPath    = "/fixity/key"
	FixityReportPath = "/fixity/report"
)

// Trailers of a report. One that lacks them was cut off.
const (
	ReportLineTrailer      = "Moraine-Report-Line" // without its line feed
	ReportSignatureTrailer = "Moraine-Report-Signature"
)

// KeyReply is a public key.
type KeyReply struct {
	PEM string `json:"pem"`
}

// ReportQuery says which report.
type ReportQuery struct {
	Account string // "" for that of the root
	Region  string // "" for the default one
	Vault   string
	Format  string // json or csv
	Name    string // of the file, for its line
}

// stallMax is how long a report waits for its reader: the rows it reads are kept
// as they were for as long.
const stallMax = time.Minute

// register adds the routes of fixity.
func (f *Fixity) register(mux *http.ServeMux, log *slog.Logger) {
	mux.HandleFunc("GET "+FixityKeyPath, func(w http.ResponseWriter, r *http.Request) { reply(w, r, f.Key) })
	mux.HandleFunc("GET "+FixityReportPath, patient(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		out := &reportWriter{w: w, control: http.NewResponseController(w)}
		w.Header().Set("Trailer", ReportLineTrailer+", "+ReportSignatureTrailer)
		line, signature, err := f.Report(r.Context(), ReportQuery{
			Account: q.Get("account"), Region: q.Get("region"), Vault: q.Get("vault"), Format: q.Get("format"), Name: q.Get("name"),
		}, out)
		switch {
		case err != nil && !out.begun:
			w.Header().Del("Trailer")
			complain(w, err)
			return
		case err != nil:
			log.ErrorContext(r.Context(), "report cut off", "vault", q.Get("vault"), "err", err)
			panic(http.ErrAbortHandler) // so that the reader sees it is not whole
		}
		w.Header().Set(ReportLineTrailer, line)
		w.Header().Set(ReportSignatureTrailer, base64.StdEncoding.EncodeToString(signature))
	}))
}

// reportWriter gives each piece of a report its own deadline.
type reportWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (r *reportWriter) Write(p []byte) (int, error) {
	if !r.begun {
		r.begun = true
		r.w.Header().Set("Content-Type", "application/octet-stream")
		r.w.Header().Set("Cache-Control", "no-store")
	}
	err := r.control.SetWriteDeadline(time.Now().Add(stallMax))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return r.w.Write(p)
}
