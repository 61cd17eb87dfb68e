package policy

import (
	"strings"

	"moraine/internal/arn"
)

// class says how closely a statement names a caller; a higher class wins
// (access-control §3.3, §5.2).
type class uint8

const (
	classNone    class = iota // the caller is not named
	classAccount              // its account is
	classRole                 // its session's role is
	classDirect               // it is itself, or everybody is
)

// The keys of a principal object.
const (
	providerAWS       = "AWS"
	providerFederated = "Federated"
	providerService   = "Service"
	providerCanonical = "CanonicalUser"
)

const everyone = "*"

// principalForm is how an entry names its principal.
type principalForm uint8

const (
	formForeign  principalForm = iota // a provider that has no callers here
	formEveryone                      // *
	formAccount                       // twelve digits or the ARN of a root
	formUser                          // ARN of a user
	formRole                          // ARN of a role
	formSession                       // ARN of a role's session
	formUserID                        // AIDA…
	formRoleID                        // AROA…
)

// principal is one entry of a Principal or NotPrincipal element.
type principal struct {
	at       string // JSON pointer
	provider string
	form     principalForm
	text     string // as written
	account  string // of formAccount
}

// newPrincipal reads an entry of the provider AWS.
func newPrincipal(at, text string) (principal, error) {
	p := principal{at: at, provider: providerAWS, text: text}
	switch {
	case text == everyone:
		p.form = formEveryone
	case accountNumber(text):
		p.form, p.account = formAccount, text
	case uniqueID(text, "AIDA"):
		p.form = formUserID
	case uniqueID(text, "AROA"):
		p.form = formRoleID
	default:
		a, err := arn.Parse(text)
		if err != nil || !p.setARN(a) {
			return p, principalError(at, providerAWS, text)
		}
	}
	return p, nil
}

// setARN sets the form of an entry that is an ARN; false if no principal has
// such an ARN.
func (p *principal) setARN(a arn.ARN) bool {
	if a.Partition != arn.Partition || a.Region != "" || !accountNumber(a.Account) || strings.ContainsAny(a.Resource, "*? \t\r\n") {
		return false
	}
	kind, name, _ := strings.Cut(a.Resource, "/")
	switch {
	case a.Service == "iam" && a.Resource == "root":
		p.form, p.account = formAccount, a.Account
		return true
	case a.Service == "iam" && kind == "user":
		p.form = formUser
	case a.Service == "iam" && kind == "role":
		p.form = formRole
	case a.Service == "sts" && kind == "assumed-role":
		p.form = formSession
		return strings.Count(name, "/") == 1 && !strings.HasPrefix(name, "/") && !strings.HasSuffix(name, "/")
	default:
		return false
	}
	return name != "" && !strings.HasSuffix(name, "/")
}

// accountNumber reports whether text is twelve digits.
func accountNumber(text string) bool { return len(text) == 12 && digits(text) }

// uniqueID reports whether text is a unique id with that prefix
// (access-control §2.1).
func uniqueID(text, prefix string) bool {
	const randomLength = 17
	random, ok := strings.CutPrefix(text, prefix)
	return ok && len(random) == randomLength && strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// bindable reports whether an entry names something that may be deleted and
// made again under the same name.
func (p *principal) bindable() bool {
	return p.form == formUser || p.form == formRole || p.form == formSession
}

// match returns how closely the entry names the caller. An ARN must still
// belong to the id it was bound to, except in a Deny, where ARN or id is
// enough (access-control §2.1).
func (p *principal) match(caller *Principal, b Bindings, e Effect) class {
	switch p.form {
	case formEveryone:
		return classDirect
	case formAccount:
		return p.matchAccount(caller)
	case formUser:
		return grade(classDirect, caller.Type == User && p.agrees(caller.ARN, caller.ID, b, e))
	case formRole:
		return grade(classRole, caller.Type == AssumedRole && p.agrees(caller.RoleARN, caller.RoleID, b, e))
	case formSession:
		return grade(classDirect, caller.Type == AssumedRole && p.agreesSession(caller, b, e))
	case formUserID:
		return grade(classDirect, caller.Type == User && caller.ID == p.text)
	case formRoleID:
		return grade(classRole, caller.Type == AssumedRole && caller.RoleID == p.text)
	default:
		return classNone
	}
}

func (p *principal) matchAccount(caller *Principal) class {
	switch {
	case caller.Account != p.account:
		return classNone
	case caller.Type == Account:
		return classDirect
	default:
		return classAccount
	}
}

// agrees compares the entry with the ARN and the id of a caller.
func (p *principal) agrees(name, id string, b Bindings, e Effect) bool {
	bound := b[p.text]
	if e == Deny {
		return name == p.text || bound != "" && bound == id
	}
	return name == p.text && bound != "" && bound == id
}

// agreesSession compares the entry with a session. Its ARN is bound to the id
// of the role, which does not tell sessions apart, so the ARN must be equal.
func (p *principal) agreesSession(caller *Principal, b Bindings, e Effect) bool {
	return caller.ARN == p.text && (e == Deny || p.agrees(caller.ARN, caller.RoleID, b, e))
}

// grade returns c if ok.
func grade(c class, ok bool) class {
	if ok {
		return c
	}
	return classNone
}

// principals is a Principal or NotPrincipal element.
type principals struct {
	negated bool
	entries []principal
}

// match returns how closely the element names the caller.
func (ps *principals) match(caller *Principal, b Bindings, e Effect) class {
	best := classNone
	for i := range ps.entries {
		best = max(best, ps.entries[i].match(caller, b, e))
	}
	return best
}

// excepts reports whether a NotPrincipal element lists every layer of the
// caller: itself, the role of a session, and the account (access-control
// §3.3). To be listed is a favour, so ids must agree as for an Allow.
func (ps *principals) excepts(caller *Principal, b Bindings) bool {
	var self, role, account bool
	for i := range ps.entries {
		switch ps.entries[i].match(caller, b, Allow) {
		case classDirect:
			self = true
		case classRole:
			role = true
		case classAccount:
			account = true
		case classNone:
		}
	}
	switch caller.Type {
	case Account:
		return self // the root and its account are one
	case User:
		return self && account
	case AssumedRole:
		return self && role && account
	default:
		return false
	}
}
