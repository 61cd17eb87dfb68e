package policy

import (
	"fmt"
	"strconv"
)

// Problem says what is wrong with a policy (access-control §3.6).
type Problem uint8

// The problems of a policy.
const (
	ProblemSyntax       Problem = iota + 1 // not JSON, unknown key, wrong type, duplicate key, unknown operator
	ProblemVersion                         // Version is not one of the two
	ProblemSid                             // a Sid is repeated
	ProblemNoAction                        // a statement without actions
	ProblemNoResource                      // a statement without resources
	ProblemHasPrincipal                    // a principal where none may be
	ProblemNoVendor                        // an action or a condition key without a colon
	ProblemColons                          // an action or a condition key with two
	ProblemVendor                          // not the form of a vendor
	ProblemResource                        // neither an ARN nor "*"
	ProblemPartition                       // an ARN of another partition
	ProblemPrincipal                       // a principal that does not exist or has no legal form
	ProblemStructure                       // anything else that is well-formed and wrong
	ProblemTooLong                         // over quota
	ProblemCharacters                      // characters outside the class of policy texts
)

// The codes of the problems of policies that are not a vault's.
const (
	CodeMalformed  = "MalformedPolicyDocument"
	CodeLimit      = "LimitExceeded"
	CodeValidation = "ValidationError"
)

// Error is the first fault found in a policy.
type Error struct {
	Problem Problem
	Pointer string // JSON pointer of the fault, "" for the whole document
	Reason  string // in a few words, for people
	message string // the sentence for policies that are not a vault's
}

func (e *Error) Error() string {
	if e.Pointer == "" {
		return e.Reason
	}
	return e.Pointer + ": " + e.Reason
}

// Code is the error code for policies that are not a vault's.
func (e *Error) Code() string {
	switch e.Problem {
	case ProblemTooLong:
		return CodeLimit
	case ProblemCharacters:
		return CodeValidation
	default:
		return CodeMalformed
	}
}

// Message is what a client may read about a policy of kind k
// (access-control §3.6). For vaults the recorded sentence is followed by
// pointer and reason.
func (e *Error) Message(k Kind) string {
	switch k {
	case AccessPolicy:
		return "The specified vault access policy is invalid. Provide a valid policy. (" + e.Error() + ")"
	case LockPolicy:
		return "The specified vault lock policy is invalid. Provide a valid policy. (" + e.Error() + ")"
	default:
		return e.message
	}
}

// wordMax bounds what a reason repeats of the text it complains about.
const wordMax = 64

// quote shows the beginning of a word from a policy.
func quote(word string) string {
	if len(word) > wordMax {
		word = word[:wordMax] + "..."
	}
	return strconv.QuoteToASCII(word)
}

func syntaxError(at, reason string) error {
	return &Error{ProblemSyntax, at, reason, "Syntax errors in policy."}
}

func structureError(at, reason string) error {
	return &Error{ProblemStructure, at, reason, "The policy failed legacy parsing"}
}

func versionError(at string) error {
	return &Error{ProblemVersion, at, "unknown version", "Policy document must be version 2012-10-17 or greater."}
}

func sidError(at string) error {
	return &Error{ProblemSid, at, "repeated", "Statement IDs (SID) in a single policy must be unique."}
}

func noActionError(at, reason string) error {
	return &Error{ProblemNoAction, at, reason, "Policy statement must contain actions."}
}

func noResourceError(at, reason string) error {
	return &Error{ProblemNoResource, at, reason, "Policy statement must contain resources."}
}

func hasPrincipalError(at string) error {
	return &Error{ProblemHasPrincipal, at, "not allowed here", "Policy document should not specify a principal."}
}

func noVendorError(at string) error {
	return &Error{ProblemNoVendor, at, "no vendor before a colon",
		"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."}
}

func colonsError(at string) error {
	return &Error{ProblemColons, at, "more than one colon", "Actions/Condition can contain only one colon."}
}

func vendorError(at, vendor string) error {
	return &Error{ProblemVendor, at, "invalid vendor " + quote(vendor), fmt.Sprintf("Vendor %s is not valid", vendor)}
}

func resourceError(at, resource string) error {
	return &Error{ProblemResource, at, "neither an ARN nor *", fmt.Sprintf(`Resource %s must be in ARN format or "*".`, resource)}
}

func partitionError(at, partition, resource string) error {
	return &Error{ProblemPartition, at, "unknown partition " + quote(partition),
		fmt.Sprintf(`Partition "%s" is not valid for resource "%s".`, partition, resource)}
}

func principalError(at, kind, principal string) error {
	return &Error{ProblemPrincipal, at, "invalid principal " + quote(principal),
		fmt.Sprintf(`Invalid principal in policy: "%s":"%s"`, kind, principal)}
}

func tooLong(sizeMax int, owner string) error {
	message := fmt.Sprintf("Maximum policy size of %d bytes exceeded", sizeMax)
	reason := fmt.Sprintf("longer than %d bytes", sizeMax)
	if owner != "" {
		message += " for " + owner
	}
	return &Error{ProblemTooLong, "", reason, message}
}

func charactersError() error {
	return &Error{ProblemCharacters, "", "characters outside U+0009, U+000A, U+000D, U+0020-U+00FF",
		"The specified value for policyDocument is invalid. It must contain only characters U+0009, U+000A, U+000D and U+0020 to U+00FF."}
}
