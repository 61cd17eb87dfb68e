package account

import (
	"errors"
	"fmt"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Code names an error of the identity operations as IAM and STS do
// (access-control §2.3). Refusals are errors of kind moraine.Denied, faults of
// the store have their kind.
type Code string

// The codes.
const (
	AccessDeniedCode        Code = "AccessDenied"
	DeleteConflict          Code = "DeleteConflict"
	EntityAlreadyExists     Code = "EntityAlreadyExists"
	InvalidInput            Code = "InvalidInput"
	InvalidParameterValue   Code = "InvalidParameterValue"
	LimitExceeded           Code = "LimitExceeded"
	MalformedPolicyDocument Code = "MalformedPolicyDocument"
	NoSuchEntity            Code = "NoSuchEntity"
	PackedPolicyTooLarge    Code = "PackedPolicyTooLarge"
	UnmodifiableEntity      Code = "UnmodifiableEntity"
	ValidationError         Code = "ValidationError"
)

// Error is a failure a client may read.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func failf(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// denied is a refusal with a sentence of its own.
func denied(format string, args ...any) error {
	return moraine.Errorf(moraine.Denied, format, args...)
}

// missing turns the absence of a row into a sentence.
func missing(err error, format string, args ...any) error {
	if errors.Is(err, meta.ErrNotFound) {
		return failf(NoSuchEntity, format, args...)
	}
	return err
}

// malformed translates the fault of a policy.
func malformed(err error, kind policy.Kind) error {
	var fault *policy.Error
	if errors.As(err, &fault) {
		return &Error{Code(fault.Code()), fault.Message(kind)}
	}
	return err
}

// noSuch says that there is no user, group or role of that name.
func noSuch(kind moraine.IdentityKind, name string) error {
	return failf(NoSuchEntity, "The %s with name %s cannot be found.", kind, name)
}

func noSuchPolicy(arn string) error { return failf(NoSuchEntity, "Policy %s was not found.", arn) }

func noSuchKey(id string) error {
	return failf(NoSuchEntity, "The Access Key with id %s cannot be found", id)
}

func overQuota(what string, limit int) error {
	return failf(LimitExceeded, "Cannot exceed quota for %s: %d", what, limit)
}
