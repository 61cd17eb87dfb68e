package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
)

// CheckPayload compares the SHA-256 of a streamed body with the hash that was
// signed. The only error is row A19.
func (r *Result) CheckPayload(computed [sha256.Size]byte) error {
	if subtle.ConstantTimeCompare(computed[:], r.PayloadHash[:]) == 1 {
		return nil
	}
	return Refuse("A19", hex.EncodeToString(computed[:]), r.sent)
}

// checkPayload fills the payload hash and, unless streamed, the body of res.
func (v *Verifier) checkPayload(r *http.Request, res *Result, streamed bool) error {
	if res.Presigned && r.ContentLength > 0 {
		return Refuse("A2c", r.ContentLength)
	}
	if streamed && r.ContentLength <= 0 && r.Header.Get("Content-Length") == "" {
		return Refuse("T9")
	}
	if values := r.Header["X-Amz-Content-Sha256"]; len(values) > 0 {
		var ok bool
		if res.sent = values[0]; len(values) > 1 {
			return Refuse("T3", "x-amz-content-sha256")
		}
		if res.PayloadHash, ok = parseHash(res.sent); !ok {
			return Refuse("A18")
		}
		res.PayloadHashSent = true
	}
	if streamed {
		if !res.PayloadHashSent {
			return Refuse("A17")
		}
		return nil
	}
	body, err := v.readBody(r)
	if err != nil {
		return err
	}
	if res.Presigned && len(body) > 0 {
		return Refuse("A2c", len(body))
	}
	computed := sha256.Sum256(body)
	if res.PayloadHashSent {
		if err := res.CheckPayload(computed); err != nil {
			return err
		}
	} else {
		res.PayloadHash = computed
		res.sent = hex.EncodeToString(computed[:])
	}
	res.Body = body
	return nil
}

// parseHash reads 64 hex digits of either case. The markers for unsigned and
// for chunked payloads are none.
func parseHash(s string) (sum [sha256.Size]byte, ok bool) {
	if len(s) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(s))
	return sum, err == nil
}

// readBody reads the body of an operation that is not streamed.
func (v *Verifier) readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > v.config.MaxBody {
		return nil, Refuse("T6")
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	var body []byte
	var err error
	if r.ContentLength > 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(r.Body, v.config.MaxBody+1))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || int64(len(body)) > v.config.MaxBody:
		return nil, Refuse("T6")
	case err != nil:
		refusal := Refuse("T7")
		refusal.cause = err
		return nil, refusal
	case len(body) == 0:
		return nil, nil
	}
	return body, nil
}
