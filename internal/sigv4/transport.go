package sigv4

import (
	"net/http"
	"strings"
)

// Limits of access-control §1.3 that no setting changes.
const (
	headerCountMax        = 100
	headerValueSizeMax    = 16 << 10
	authorizationSizeMax  = 4 << 10
	querySizeMax          = 8 << 10
	signedHeadersCountMax = headerCountMax
)

// once lists the headers whose repetition would let two readers of one request
// disagree on what was signed.
var once = []string{
	"Authorization", "Date", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Glacier-Version",
	"X-Amz-Security-Token", "X-Amz-Sha256-Tree-Hash",
}

// CheckTransport refuses the requests that net/http lets through and Moraine
// does not (access-control §1.3): rows T1 to T5, T10 and T11. It reads headers
// only. After row T1 the caller must close the connection.
func CheckTransport(r *http.Request) error {
	if len(r.TransferEncoding) > 0 {
		return Refuse("T1")
	}
	if !strings.HasPrefix(r.RequestURI, "/") {
		return Refuse("T2")
	}
	if err := checkHeaders(r); err != nil {
		return err
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return Refuse("T11", "Content-Encoding is not supported") // nothing is ever decompressed (§7.2)
	}
	path, query := splitTarget(r.RequestURI)
	if !safePath(path) {
		return Refuse("T4")
	}
	if len(query) > querySizeMax {
		return Refuse("T11", "Query string is too large")
	}
	if _, err := splitQuery(query, false); err != nil {
		return Refuse("T5")
	}
	return nil
}

// CheckHeaderBlock refuses a request whose request line and headers are longer
// than so many bytes, with row T8. net/http refuses by itself, in words of its
// own, so its limit has to be greater.
func CheckHeaderBlock(r *http.Request, sizeMax int64) error {
	const separators = len(": \r\n")
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + separators + len("Host") + len(r.Host) + separators
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + separators
		}
	}
	if int64(size) > sizeMax {
		return Refuse("T8")
	}
	return nil
}

// splitTarget cuts an origin-form request target into path and query as they
// came over the wire.
func splitTarget(target string) (path, query string) {
	path, query, _ = strings.Cut(target, "?")
	return path, query
}

func checkHeaders(r *http.Request) error {
	for _, name := range once {
		if len(r.Header[name]) > 1 {
			return Refuse("T3", displayName(name))
		}
	}
	if !printable(r.Host) {
		return Refuse("T10", "Host")
	}
	count := 0
	for name, values := range r.Header {
		count += len(values)
		for _, value := range values {
			if len(value) > headerValueSizeMax || name == "Authorization" && len(value) > authorizationSizeMax {
				return Refuse("T11", "Header "+Echo(displayName(name))+" is too large")
			}
			if used(name) && !printable(value) {
				return Refuse("T10", displayName(name))
			}
		}
	}
	if count > headerCountMax {
		return Refuse("T11", "Too many headers")
	}
	return nil
}

// used reports whether operations or signatures read the header.
func used(name string) bool {
	switch name {
	case "Authorization", "Date", "Range":
		return true
	}
	return strings.HasPrefix(name, "X-Amz-") || strings.HasPrefix(name, "Content-")
}

// displayName writes a header name as Glacier's messages do.
func displayName(name string) string {
	if strings.HasPrefix(name, "X-Amz-") {
		return strings.ToLower(name)
	}
	return name
}

// printable reports whether s is ASCII without control characters; a tab is a
// blank.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '\t' && (c < 0x20 || c > 0x7e) {
			return false
		}
	}
	return true
}

// safePath reports whether every client and every router reads the path the
// same way (access-control §1.4, path preconditions). The bare "/" of the IAM
// and STS endpoints is safe.
func safePath(path string) bool {
	if path == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	for segment := range strings.SplitSeq(rest, "/") {
		plain, err := decode(segment, false)
		if err != nil || plain == "" || plain == "." || plain == ".." {
			return false
		}
		for i := range len(plain) {
			if c := plain[i]; c < 0x20 || c == 0x7f || c == '/' || c == '\\' {
				return false
			}
		}
	}
	return true
}
