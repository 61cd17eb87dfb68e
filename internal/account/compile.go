package account

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/policy"
	"moraine/internal/sigv4"
)

// compile makes the principal of a user or role with all its policies.
func compile(tx meta.Tx, id string) (*access.Principal, error) {
	row, err := tx.Identities().ByID(id)
	if err != nil {
		return nil, err
	}
	e, err := readEntity(row)
	if err != nil {
		return nil, err
	}
	p := &access.Principal{Account: e.Account, ARN: e.ARN, ID: e.ID, Tags: e.Tags}
	switch e.Kind {
	case moraine.UserIdentity:
	case moraine.RoleIdentity:
		p.RoleARN, p.RoleID = e.ARN, e.ID
		p.RevokeBefore, p.Revocations = time.Unix(e.Role.RevokeBefore, 0), e.Role.Revocations
	case moraine.GroupIdentity, moraine.PolicyIdentity:
		return nil, meta.ErrNotFound // nobody speaks for these
	}
	if p.Identity, err = own(tx, e, nil); err != nil {
		return nil, err
	}
	for _, group := range e.Groups {
		if textOf(p) > principalTextMax {
			break
		}
		row, err := tx.Identities().ByID(group)
		if err != nil {
			return nil, damaged(err, e)
		}
		g, err := readEntity(row)
		if err != nil {
			return nil, err
		}
		if p.Identity, err = own(tx, g, p.Identity); err != nil {
			return nil, err
		}
	}
	if e.Boundary != "" {
		b, err := managedPolicy(tx, e.Account, e.Boundary)
		if err != nil {
			return nil, err
		}
		p.Boundary = &b
	}
	if n := textOf(p); n > principalTextMax {
		// What cannot be looked at as a whole is not looked at in part: it denies.
		p.Identity = []policy.Policy{{Name: fmt.Sprintf("the policies of %s, which are longer than %d characters", e.ARN, principalTextMax)}}
	}
	return p, nil
}

// textOf is how many characters the policies of a principal have.
func textOf(p *access.Principal) int {
	n := 0
	for i := range p.Identity {
		if d := p.Identity[i].Document; d != nil {
			n += d.Size()
		}
	}
	if p.Boundary != nil && p.Boundary.Document != nil {
		n += p.Boundary.Document.Size()
	}
	return n
}

// damaged says that a row names another that is not there.
func damaged(err error, e *Entity) error {
	if errors.Is(err, meta.ErrNotFound) {
		return moraine.Wrap(err, moraine.Corrupt, "%s names a group that does not exist", e.ARN)
	}
	return err
}

// own appends the policies of one entity.
func own(tx meta.Tx, e *Entity, list []policy.Policy) ([]policy.Policy, error) {
	for _, in := range e.Inline {
		list = append(list, parsed(e.ARN+"#"+in.Name, in.Text))
	}
	for _, arn := range e.Attached {
		m, err := managedPolicy(tx, e.Account, arn)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// managedPolicy returns the version in force. A policy that is not there, or
// has no such version, denies: it is never taken for "no policy".
func managedPolicy(tx meta.Tx, a moraine.AccountID, arn string) (policy.Policy, error) {
	m, err := findManaged(tx, a, arn)
	var absent *Error
	switch {
	case errors.As(err, &absent):
		return policy.Policy{Name: arn}, nil
	case err != nil:
		return policy.Policy{}, err
	}
	return parsed(arn, m.Text()), nil
}

// parsed is a stored text ready for evaluation; one that does not parse denies.
func parsed(name, text string) policy.Policy {
	d, err := policy.Parse([]byte(text))
	if err != nil {
		d = nil
	}
	return policy.Policy{Name: name, Document: d}
}

// narrow makes the principal of a session from that of its user or role. It is
// ErrUnknownKey if the session was revoked.
func narrow(tx meta.Tx, p access.Principal, s *session) (access.Principal, error) {
	p.Issued, p.SourceIdentity = s.issued(), s.SourceIdentity
	if p.RoleID == "" {
		return p, nil
	}
	if p.Issued.Before(p.RevokeBefore) || s.Revocations < p.Revocations {
		return p, sigv4.ErrUnknownKey
	}
	p.ARN, p.ID = sessionARN(p.Account, p.RoleARN, s.Name), p.RoleID+":"+s.Name
	keys := make([]string, len(s.Tags))
	for i, t := range s.Tags {
		keys[i] = t.Key
	}
	p.Tags = append(slices.Clip(dropTags(p.Tags, keys)), s.Tags...)
	p.Transitive = s.Transitive
	if s.Policy != "" {
		p.Session = append(p.Session, parsed("session policy", s.Policy))
	}
	for _, arn := range s.Policies {
		m, err := managedPolicy(tx, p.Account, arn)
		if err != nil {
			return p, err
		}
		p.Session = append(p.Session, m)
	}
	return p, nil
}

// sessionARN is the ARN of a role's session, which has no path.
func sessionARN(a moraine.AccountID, roleARN, name string) string {
	role := roleARN[lastSlash(roleARN):]
	return "arn:aws:sts::" + string(a) + ":assumed-role/" + role + "/" + name
}
