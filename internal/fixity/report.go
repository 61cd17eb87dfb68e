package fixity

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"moraine"
)

// Format is the form of a report.
type Format string

// The formats.
const (
	JSON Format = "json"
	CSV  Format = "csv"
)

// Header says what a report is about.
type Header struct {
	VaultARN string
	Account  moraine.AccountID
	Region   moraine.Region
	Vault    moraine.VaultName
	Time     time.Time // when it was made, and the instant whose archives it lists
	Software string    // name and version of the program
}

// Result is what the last check of an archive found.
type Result string

// The results. Format: never change.
const (
	// Whole: every byte was compared with the digests, when it came in or since.
	Whole Result = "ok"
	// Faulty: something was wrong and still is.
	Faulty Result = "failed"
)

// Item is one archive.
type Item struct {
	Archive  moraine.ArchiveID
	Size     int64
	TreeHash moraine.TreeHash
	Created  time.Time
	// Verified is when the last byte of it was last compared: the earliest
	// instant of its pieces.
	Verified time.Time
	Result   Result
	Fault    string // "" if none
}

// secondsFormat prints instants: UTC, whole seconds.
const secondsFormat = "2006-01-02T15:04:05Z"

// Writer writes a report as a stream. It is used by one goroutine.
type Writer struct {
	out    *bufio.Writer
	csv    *csv.Writer // nil for JSON
	header Header
	count  int64
	bytes  int64
	failed int64
}

// NewWriter begins a report. Errors come from Close.
func NewWriter(w io.Writer, f Format, h Header) (*Writer, error) {
	r := &Writer{out: bufio.NewWriterSize(w, 64<<10), header: h}
	switch f {
	case JSON:
		return r, r.beginJSON()
	case CSV:
		r.csv = csv.NewWriter(r.out)
		return r, r.csv.Write([]string{"ArchiveId", "Size", "SHA256TreeHash", "CreationDate", "LastVerified", "Result", "Fault"})
	}
	return nil, fmt.Errorf("there is no format %q: use json or csv", f)
}

func (w *Writer) beginJSON() error {
	head, err := json.Marshal(struct {
		Version                                             int
		VaultARN, Account, Region, VaultName, Time, Program string
	}{1, w.header.VaultARN, string(w.header.Account), string(w.header.Region), string(w.header.Vault), instant(w.header.Time), w.header.Software})
	if err != nil {
		return err
	}
	fmt.Fprintf(w.out, "{\"Report\":%s,\n\"Archives\":[", head)
	return nil
}

func instant(t time.Time) string { return t.UTC().Format(secondsFormat) }

// Add adds an archive.
func (w *Writer) Add(i Item) error {
	w.count++
	w.bytes += i.Size
	if i.Result != Whole {
		w.failed++
	}
	if w.csv != nil {
		return w.csv.Write([]string{
			string(i.Archive), strconv.FormatInt(i.Size, 10), i.TreeHash.String(), instant(i.Created), instant(i.Verified), string(i.Result), i.Fault,
		})
	}
	line, err := json.Marshal(struct {
		ArchiveID      string `json:"ArchiveId"`
		Size           int64
		SHA256TreeHash string
		CreationDate   string
		LastVerified   string
		Result         Result
		Fault          string `json:",omitempty"`
	}{string(i.Archive), i.Size, i.TreeHash.String(), instant(i.Created), instant(i.Verified), i.Result, i.Fault})
	if err != nil {
		return err
	}
	if w.count > 1 {
		w.out.WriteByte(',')
	}
	w.out.WriteByte('\n')
	_, err = w.out.Write(line)
	return err
}

// Close ends the report. A report without its end is recognisable as such: in
// CSV by the last line, which holds the header and the sums.
func (w *Writer) Close() error {
	if w.csv == nil {
		fmt.Fprintf(w.out, "\n],\n\"Count\":%d,\"Bytes\":%d,\"Failed\":%d}\n", w.count, w.bytes, w.failed)
		return w.out.Flush()
	}
	err := w.csv.Write([]string{
		"#", strconv.FormatInt(w.bytes, 10), w.header.VaultARN, instant(w.header.Time),
		strconv.FormatInt(w.count, 10), strconv.FormatInt(w.failed, 10), w.header.Software,
	})
	if err != nil {
		return err
	}
	w.csv.Flush()
	if err := w.csv.Error(); err != nil {
		return err
	}
	return w.out.Flush()
}
