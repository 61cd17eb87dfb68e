package sigv4

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error says why a request was refused. Message may be shown to the client;
// the cause, when there is one, may not.
type Error struct {
	// Row names the line of the catalogue in access-control §1.11, "A7". The
	// names T10 (non-ASCII header), T11 (header or query limits), A2c
	// (presigned request with a body) and A14b (too many of A14) are this
	// package's own.
	Row     string
	Code    string // Glacier's name for the error
	Status  int    // HTTP status
	Message string
	cause   error
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the private cause, such as the error of a broken connection.
func (e *Error) Unwrap() error { return e.cause }

// Malformed reports whether err is a transport refusal. What follows such a
// request on its connection cannot be trusted to be a request, so the
// connection must be closed.
func Malformed(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && strings.HasPrefix(refusal.Row, "T")
}

// Codes of the catalogue.
const (
	codeAccessDenied     = "AccessDeniedException"
	codeBadRequest       = "BadRequest"
	codeExpiredToken     = "ExpiredTokenException"
	codeIncomplete       = "IncompleteSignatureException"
	codeInvalidParameter = "InvalidParameterValueException"
	codeMissingParameter = "MissingParameterValueException"
	codeMissingToken     = "MissingAuthenticationTokenException"
	codeSignature        = "InvalidSignatureException"
	codeThrottling       = "ThrottlingException"
	codeTimeout          = "RequestTimeoutException"
	codeUnrecognized     = "UnrecognizedClientException"
)

type row struct {
	status int
	code   string
	format string
}

const invalidToken = "The security token included in the request is invalid."

// rows is the catalogue of access-control §1.11.
var rows = map[string]row{
	"T1":  {http.StatusBadRequest, codeBadRequest, "Transfer-Encoding is not supported"},
	"T2":  {http.StatusBadRequest, codeBadRequest, "Invalid request target"},
	"T3":  {http.StatusBadRequest, codeBadRequest, "Header %s must appear only once"},
	"T4":  {http.StatusBadRequest, codeInvalidParameter, "Invalid request path"},
	"T5":  {http.StatusBadRequest, codeBadRequest, "Invalid query string"},
	"T6":  {http.StatusBadRequest, codeBadRequest, "Request body too large"},
	"T7":  {http.StatusRequestTimeout, codeTimeout, "Request timed out."},
	"T8":  {http.StatusRequestHeaderFieldsTooLarge, codeBadRequest, "Request header fields are too large"},
	"T9":  {http.StatusBadRequest, codeMissingParameter, "Required parameter missing: Content-Length"},
	"T10": {http.StatusBadRequest, codeInvalidParameter, "Invalid %s: value must be printable ASCII"},
	"T11": {http.StatusBadRequest, codeBadRequest, "%s"},

	"A1":   {http.StatusBadRequest, codeMissingToken, "Request is missing Authentication Token"},
	"A2":   {http.StatusForbidden, codeSignature, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."},
	"A2b":  {http.StatusForbidden, codeAccessDenied, "Query authentication is not allowed for this operation"},
	"A2c":  {http.StatusBadRequest, codeInvalidParameter, "Invalid Content-Length: %d"},
	"A3":   {http.StatusBadRequest, codeIncomplete, "Unsupported AWS 'algorithm': '%s'."},
	"A4":   {http.StatusBadRequest, codeIncomplete, "'%s' not a valid key=value pair (missing equal-sign) in Authorization header: '%s'."},
	"A5":   {http.StatusBadRequest, codeIncomplete, "%s Authorization=%s"},
	"A5q":  {http.StatusBadRequest, codeIncomplete, "%s Re-examine the query-string parameters."},
	"A6":   {http.StatusBadRequest, codeIncomplete, "Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601"},
	"A7":   {http.StatusForbidden, codeSignature, "Signature expired: %s is now earlier than %s (%s - %d min.)"},
	"A8":   {http.StatusForbidden, codeSignature, "Signature not yet current: %s is still later than %s (%s + %d min.)"},
	"A9":   {http.StatusForbidden, codeSignature, "Signature expired: %s is now earlier than %s"},
	"A9b":  {http.StatusBadRequest, codeIncomplete, "X-Amz-Expires must be an integer between 1 and 604800."},
	"A10":  {http.StatusForbidden, codeSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
	"A11":  {http.StatusForbidden, codeSignature, "'%s' must be a 'SignedHeader' in the AWS Authorization."},
	"A12":  {http.StatusBadRequest, codeIncomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'"},
	"A13":  {http.StatusForbidden, codeSignature, "%s"},
	"A14":  {http.StatusBadRequest, codeUnrecognized, invalidToken},
	"A14b": {http.StatusBadRequest, codeThrottling, "Rate exceeded"},
	"A15":  {http.StatusBadRequest, codeUnrecognized, invalidToken},
	"A16":  {http.StatusForbidden, codeExpiredToken, "The security token included in the request is expired"},
	"A17":  {http.StatusBadRequest, codeMissingParameter, "Required parameter missing: x-amz-content-sha256"},
	"A18":  {http.StatusBadRequest, codeInvalidParameter, "Invalid x-amz-content-sha256 value"},
	"A19":  {http.StatusForbidden, codeSignature, "The value passed in as x-amz-content-sha256 does not match the computed payload hash. Computed digest: %s expected hash: %s"},
	"A20":  {http.StatusForbidden, codeSignature, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
	"A21":  {http.StatusBadRequest, codeMissingParameter, "Required parameter missing: API version"},
	"A21b": {http.StatusBadRequest, codeInvalidParameter, "Unsupported API version: %s"},
	"A22":  {http.StatusForbidden, codeAccessDenied, "Access denied for account ID: %s"},
	"A23":  {http.StatusForbidden, codeAccessDenied, "%s"},
}

// Refuse returns the error of one row of the catalogue; args fill the
// variables of the row's message, in order. T9 and the rows from A21 on are
// refusals the caller of this package decides on: A21 takes nothing, A21b the
// version, A22 the account id and A23 the whole message. Text that came from
// the client belongs through Echo. An unknown row panics.
func Refuse(name string, args ...any) *Error {
	r, ok := rows[name]
	if !ok {
		panic("sigv4: no row " + name)
	}
	message := r.format
	if len(args) > 0 {
		message = fmt.Sprintf(r.format, args...)
	}
	return &Error{Row: name, Code: r.code, Status: r.status, Message: message}
}

// echoMax bounds what a message repeats of the client's own text.
const echoMax = 200

// Echo prepares text from a client for a message: at most 200 bytes of
// printable ASCII.
func Echo(s string) string {
	if len(s) > echoMax {
		s = s[:echoMax]
	}
	clean := func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}
	return strings.Map(clean, s)
}
