package adminclient

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"moraine/internal/adminapi"
)

// FixityKey asks for the public key of reports.
func (c *Client) FixityKey(ctx context.Context) (adminapi.KeyReply, error) {
	var out adminapi.KeyReply
	return out, c.ask(ctx, http.MethodGet, adminapi.FixityKeyPath, nil, &out)
}

// FixityReport writes a report to w, and returns its line, without its line
// feed, and the signature of that. What is written is no report before it has
// returned nil.
func (c *Client) FixityReport(ctx context.Context, q adminapi.ReportQuery, w io.Writer) (line string, signature []byte, err error) {
	query := url.Values{"account": {q.Account}, "region": {q.Region}, "vault": {q.Vault}, "format": {q.Format}, "name": {q.Name}}
	resp, err := c.send(ctx, http.MethodGet, adminapi.FixityReportPath+"?"+query.Encode(), nil)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", nil, c.refusal(resp)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return "", nil, fmt.Errorf("read the report of %s, which is not whole: %w", c.base, err)
	}
	line = resp.Trailer.Get(adminapi.ReportLineTrailer)
	signature, err = base64.StdEncoding.DecodeString(resp.Trailer.Get(adminapi.ReportSignatureTrailer))
	if err != nil || line == "" {
		return "", nil, errors.New("the report of " + c.base + " has no signature, so it is not whole")
	}
	return line, signature, nil
}
