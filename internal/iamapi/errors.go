package iamapi

import (
	"errors"
	"net/http"
	"strings"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/sigv4"
)

// wireError is an error as clients see it (access-control §2.2).
type wireError struct {
	status        int
	code, message string
}

func (e *wireError) Error() string { return e.code + ": " + e.message }

// statuses is the one table from codes of account to HTTP.
var statuses = map[account.Code]int{
	account.AccessDeniedCode:        http.StatusForbidden,
	account.DeleteConflict:          http.StatusConflict,
	account.EntityAlreadyExists:     http.StatusConflict,
	account.InvalidInput:            http.StatusBadRequest,
	account.InvalidParameterValue:   http.StatusBadRequest,
	account.LimitExceeded:           http.StatusConflict,
	account.MalformedPolicyDocument: http.StatusBadRequest,
	account.NoSuchEntity:            http.StatusNotFound,
	account.PackedPolicyTooLarge:    http.StatusBadRequest,
	account.UnmodifiableEntity:      http.StatusBadRequest,
	account.ValidationError:         http.StatusBadRequest,
}

// rows maps the catalogue of access-control §1.11 to the names of these
// services, as its end says. Rows that are not here are ValidationError, 400.
var rows = map[string]wireError{
	"A1":   {http.StatusForbidden, "MissingAuthenticationToken", ""},
	"A2":   {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"A2b":  {http.StatusForbidden, "AccessDenied", ""},
	"A3":   {http.StatusBadRequest, "IncompleteSignature", ""},
	"A4":   {http.StatusBadRequest, "IncompleteSignature", ""},
	"A5":   {http.StatusBadRequest, "IncompleteSignature", ""},
	"A5q":  {http.StatusBadRequest, "IncompleteSignature", ""},
	"A6":   {http.StatusBadRequest, "IncompleteSignature", ""},
	"A7":   {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"A8":   {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"A9":   {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"A9b":  {http.StatusBadRequest, "IncompleteSignature", ""},
	"A10":  {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"A11":  {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"A12":  {http.StatusBadRequest, "IncompleteSignature", ""},
	"A13":  {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"A14":  {http.StatusForbidden, "InvalidClientTokenId", ""},
	"A14b": {http.StatusBadRequest, "Throttling", ""},
	"A15":  {http.StatusForbidden, "InvalidClientTokenId", ""},
	"A16":  {http.StatusForbidden, "ExpiredToken", ""},
	"A19":  {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"A20":  {http.StatusForbidden, "SignatureDoesNotMatch", ""},
	"T5":   {http.StatusBadRequest, "MalformedQueryString", ""},
	"T8":   {http.StatusRequestHeaderFieldsTooLarge, "ValidationError", ""},
	"T7":   {http.StatusRequestTimeout, "RequestTimeout", ""},
}

// internalMessage is shown instead of the text of an error that is no client's
// business.
const internalMessage = "The request processing has failed because of an unknown error, exception or failure."

// toWire translates any error.
func toWire(err error) *wireError {
	var ours *wireError
	if errors.As(err, &ours) {
		return ours
	}
	var auth *sigv4.Error
	if errors.As(err, &auth) {
		e, ok := rows[auth.Row]
		if !ok {
			e = wireError{http.StatusBadRequest, "ValidationError", ""}
		}
		e.message = auth.Message
		return &e
	}
	var known *account.Error
	if errors.As(err, &known) {
		return &wireError{statuses[known.Code], string(known.Code), known.Message}
	}
	var kind *moraine.Error
	if errors.As(err, &kind) {
		switch kind.Kind {
		case moraine.Denied:
			return &wireError{http.StatusForbidden, "AccessDenied", kind.Message}
		case moraine.Throttled:
			return &wireError{http.StatusBadRequest, "Throttling", kind.Message}
		case moraine.Invalid, moraine.BadRequest:
			return &wireError{http.StatusBadRequest, "ValidationError", kind.Message}
		}
	}
	return &wireError{http.StatusInternalServerError, "ServiceFailure", internalMessage}
}

// fault is who is to blame, in the words of the protocol.
func (e *wireError) fault() string {
	if e.status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

func invalidAction(action, version string) error {
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	return &wireError{http.StatusBadRequest, "InvalidAction",
		strings.TrimSpace("Could not find operation "+sigv4.Echo(action)) + " for version " + sigv4.Echo(version)}
}

func validation(message string) error {
	return &wireError{http.StatusBadRequest, "ValidationError", message}
}
