package policy

import (
	"strconv"
	"strings"
	"time"
)

// PrincipalType is what sort of caller a principal is, and the value of
// aws:PrincipalType.
type PrincipalType string

// The types of principals (access-control §2.1).
const (
	Account     PrincipalType = "Account" // the root of an account
	User        PrincipalType = "User"
	AssumedRole PrincipalType = "AssumedRole" // a session of a role
)

// Principal is an authenticated caller with all layers by which a policy may
// name it (access-control §2.1, §3.3).
type Principal struct {
	Type    PrincipalType
	Account string // twelve digits
	ARN     string // of the root, the user or the session
	ID      string // account id, AIDA…, or AROA…:session
	RoleARN string // of a session's role, with path; else empty
	RoleID  string // AROA…; else empty
}

// Request is one action somebody wants to perform. Evaluate does not change it.
type Request struct {
	Principal Principal
	Action    string // in the form glacier:DeleteArchive
	Resource  string // ARN
	// Owner is the account the resource belongs to; empty means the account
	// part of Resource.
	Owner   string
	Context Context
	Now     time.Time // for aws:CurrentTime and aws:EpochTime

	// steps is what is left of the budget for comparing patterns, which
	// Evaluate gives its own copy; nil for no bound.
	steps *int
}

// owner returns the account the resource belongs to.
func (r *Request) owner() string {
	if r.Owner != "" {
		return r.Owner
	}
	rest := r.Resource
	for range 4 {
		_, rest, _ = strings.Cut(rest, ":")
	}
	account, _, _ := strings.Cut(rest, ":")
	return account
}

// derived returns the value of a key that follows from principal and time. If
// the key is such a key, known is true and what Context says of it is ignored.
func (r *Request) derived(key string) (value string, present, known bool) {
	p := &r.Principal
	switch key {
	case keyCurrentTime:
		return r.Now.UTC().Format(time.RFC3339), true, true
	case keyEpochTime:
		return strconv.FormatInt(r.Now.Unix(), 10), true, true
	case keyPrincipalAccount:
		return p.Account, true, true
	case keyPrincipalArn:
		if p.Type == AssumedRole {
			return p.RoleARN, true, true
		}
		return p.ARN, true, true
	case keyPrincipalType:
		return string(p.Type), true, true
	case keyUserID:
		return p.ID, true, true
	case keyUsername:
		return p.ARN[strings.LastIndexByte(p.ARN, '/')+1:], p.Type == User, true
	}
	return "", false, false
}

// variable returns the value a policy variable stands for. Keys with several
// values have none to offer (access-control §3.2).
func (r *Request) variable(key string) (string, bool) {
	if value, present, known := r.derived(key); known {
		return value, present
	}
	found := -1
	for i := range r.Context.entries {
		switch e := &r.Context.entries[i]; {
		case e.key != key:
		case e.set != nil || found >= 0:
			return "", false
		default:
			found = i
		}
	}
	if found < 0 {
		return "", false
	}
	return r.Context.entries[found].value, true
}
