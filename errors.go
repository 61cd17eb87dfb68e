package moraine

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is. It is chosen once, where the
// fact is known; the surfaces translate it to a wire code and an exit status.
type Kind uint8

// The kinds of error. The comment names the Glacier code a kind becomes
// (glacier-api §1.10).
const (
	Internal    Kind = iota // ServiceUnavailableException: a fault of ours, the text never reaches a client
	Invalid                 // InvalidParameterValueException
	Missing                 // MissingParameterValueException
	Malformed               // SerializationException
	BadRequest              // BadRequest
	NotFound                // ResourceNotFoundException
	Denied                  // AccessDeniedException
	Limit                   // LimitExceededException
	Policy                  // PolicyEnforcedException
	Capacity                // InsufficientCapacityException
	Timeout                 // RequestTimeoutException
	Throttled               // ThrottlingException
	Unavailable             // ServiceUnavailableException: a store is full or away, a retry may succeed
	Corrupt                 // ServiceUnavailableException: stored bytes fail their check
	Locked                  // AccessDeniedException: the lock of the vault is not in the state for it
)

var kindNames = [...]string{
	"internal", "invalid", "missing", "malformed", "bad request", "not found", "denied",
	"limit", "policy", "capacity", "timeout", "throttled", "unavailable", "corrupt",
	"locked",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is an error with a kind. Message may be shown to a client; the cause
// never is.
type Error struct {
	Kind    Kind
	Message string
	cause   error
}

// Errorf makes an error of kind k with a message fit for a client.
func Errorf(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of kind k with a message fit for a client and a private
// cause that only logs may show.
func Wrap(cause error, k Kind, format string, args ...any) error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...), cause: cause}
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.cause }

// KindOf reports the kind of err: that of the outermost *Error in its chain,
// Internal when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// IsKind reports whether err is of kind k.
func IsKind(err error, k Kind) bool { return err != nil && KindOf(err) == k }
