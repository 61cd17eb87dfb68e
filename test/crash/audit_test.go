package crash_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moraine/test/internal/iamclient"
	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

// auditLineMax bounds a line of the audit log.
const auditLineMax = 4 << 20

// observe notes what a reply acknowledges: the request id of every write, and
// jobs. It is the Observe of every connection.
func (l *ledger) observe(r *wire.Request, resp *wire.Response) {
	op := writeOf(r)
	if resp.Status/100 != 2 || op == "" {
		return
	}
	l.do(func() {
		l.acknowledged[resp.Get("x-amzn-RequestId")] = op
		if vault, job, ok := vaultclient.OfJob(r); ok {
			l.notices[resp.Get("x-amz-job-id")] = newNotice(vault, job)
		}
	})
}

// writeOf names a request that changes something, "" if it only looks.
func writeOf(r *wire.Request) string {
	action := iamclient.Action(r)
	switch {
	case r.Method == "GET", strings.HasPrefix(action, "Get"), strings.HasPrefix(action, "List"):
		return ""
	case action != "":
		return action
	}
	return r.Method + " " + r.Target
}

// auditReport is what the audit log of all rounds says.
type auditReport struct {
	verdict string // of moraine audit verify
	records int    // of calls
	torn    int    // times that a crash cut a record short
	unheard int    // successful writes whose acknowledgement nobody got
}

// auditRecord is what matters of a record.
type auditRecord struct {
	EventType, EventName, RequestID, ErrorCode string
	ReadOnly                                   bool
}

// checkAudit follows the chain through all rounds and compares the records with
// the writes that were acknowledged: each has one, a success. A write that was in
// flight at a kill may have one, too; nothing else has.
func checkAudit(t *testing.T, l *ledger, data string) (report auditReport) {
	t.Helper()
	out, code, err := moraineproc.VerifyAudit(t.Context(), serverBinary, data)
	if err != nil || code != 0 {
		l.fault("audit verify: exit %d, %v\n%s", code, err, out)
	}
	report.verdict = strings.TrimSpace(out)
	found := map[string]int{}
	err = auditRecords(data, func(r auditRecord) {
		switch {
		case r.EventName == "AuditTruncated":
			report.torn++
		case r.EventType != "AwsApiCall":
		default:
			report.records++
			if l.acknowledged[r.RequestID] != "" {
				found[r.RequestID]++
				if r.ReadOnly || r.ErrorCode != "" {
					l.fault("%s: %s was acknowledged and is recorded as %+v", half, l.acknowledged[r.RequestID], r)
				}
			} else if !r.ReadOnly && r.ErrorCode == "" {
				report.unheard++
			}
		}
	})
	if err != nil {
		l.fault("audit log: %v", err)
	}
	for id, op := range l.acknowledged {
		if found[id] != 1 {
			l.fault("%s: %s (request %s) was acknowledged and has %d audit records", lost, op, id, found[id])
		}
	}
	if most := l.inFlight(); report.unheard > most {
		l.fault("the audit log has %d successful writes that nobody was told of, and %d were in flight at a kill", report.unheard, most)
	}
	return report
}

// auditRecords calls fn for each line of the audit log.
func auditRecords(data string, fn func(auditRecord)) error {
	names, err := filepath.Glob(filepath.Join(data, "audit", "audit-*.jsonl*"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("it has no files")
	}
	for _, name := range names {
		if err := auditFile(name, fn); err != nil {
			return err
		}
	}
	return nil
}

func auditFile(name string, fn func(auditRecord)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var text io.Reader = f
	if strings.HasSuffix(name, ".gz") { // of an hour that is over
		if text, err = gzip.NewReader(f); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, auditLineMax)
	for lines.Scan() {
		var r auditRecord
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		fn(r)
	}
	return lines.Err()
}

// inFlight is how many operations got no answer.
func (l *ledger) inFlight() (n int) {
	for _, c := range l.counts {
		n += c.inFlight
	}
	return n
}
