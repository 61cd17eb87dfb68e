package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"moraine"
	"moraine/internal/sigv4"
)

// wireError is an error as clients see it (glacier-api §1.10).
type wireError struct {
	Status  int
	Code    string
	Message string
	Type    string // Client or Server
	// Front says that the error comes from before the operation (transport,
	// signature, account, throttling, denial): those print the message first.
	Front bool
}

// wireKind is what an error kind becomes.
type wireKind struct {
	status int
	code   string
	front  bool
}

// wireKinds is the one table from error kinds to wire codes.
var wireKinds = map[moraine.Kind]wireKind{
	moraine.Internal:    {http.StatusInternalServerError, "ServiceUnavailableException", false},
	moraine.Invalid:     {http.StatusBadRequest, "InvalidParameterValueException", false},
	moraine.Missing:     {http.StatusBadRequest, "MissingParameterValueException", false},
	moraine.Malformed:   {http.StatusBadRequest, "SerializationException", false},
	moraine.BadRequest:  {http.StatusBadRequest, "BadRequest", true},
	moraine.NotFound:    {http.StatusNotFound, "ResourceNotFoundException", false},
	moraine.Denied:      {http.StatusForbidden, "AccessDeniedException", true},
	moraine.Limit:       {http.StatusBadRequest, "LimitExceededException", false},
	moraine.Policy:      {http.StatusBadRequest, "PolicyEnforcedException", false},
	moraine.Capacity:    {http.StatusServiceUnavailable, "InsufficientCapacityException", false},
	moraine.Timeout:     {http.StatusRequestTimeout, "RequestTimeoutException", false},
	moraine.Throttled:   {http.StatusBadRequest, "ThrottlingException", true},
	moraine.Unavailable: {http.StatusInternalServerError, "ServiceUnavailableException", false},
	moraine.Corrupt:     {http.StatusInternalServerError, "ServiceUnavailableException", false},
	moraine.Locked:      {http.StatusForbidden, "AccessDeniedException", false},
}

// internalMessage is shown instead of the text of an error that has no kind.
const internalMessage = "The service is unable to process the request. Try again later."

// toWire translates any error. The message of an error without a kind, and
// every private cause, stay in the log.
func toWire(err error) wireError {
	var auth *sigv4.Error
	if errors.As(err, &auth) {
		return wireError{Status: auth.Status, Code: auth.Code, Message: auth.Message, Type: "Client", Front: true}
	}
	w := wireKinds[moraine.Internal]
	message := internalMessage
	var known *moraine.Error
	if errors.As(err, &known) {
		w = wireKinds[known.Kind]
		// What is damaged, and where, is for the operator.
		if known.Kind != moraine.Internal && known.Kind != moraine.Corrupt {
			message = known.Message
		}
	}
	e := wireError{Status: w.status, Code: w.code, Message: message, Type: "Client", Front: w.front}
	if e.Status >= 500 {
		e.Type = "Server"
	}
	return e
}

// body prints the error in the key order of its origin.
func (e wireError) body() []byte {
	if e.Front {
		return encodeJSON(struct {
			Message string `json:"message"`
			Code    string `json:"code"`
			Type    string `json:"type"`
		}{e.Message, e.Code, e.Type})
	}
	return encodeJSON(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Type    string `json:"type"`
	}{e.Code, e.Message, e.Type})
}

// encodeJSON prints v as the service does: compact, no HTML escaping, no final
// newline (§1.7). The values of this package always encode.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("api: a response does not encode: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// writeJSON sends a JSON body, success and error alike.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}
