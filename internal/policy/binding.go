package policy

// Bindings remembers, for each ARN of a user, role or session in a document,
// the unique id of that user or role when the document was stored; an empty id
// means that its account was not known then (access-control §2.1). An ARN
// without an id names nobody in an Allow: who first came to bear the name later
// cannot be told from who bears it now.
type Bindings map[string]string

// Lookup finds the unique id of the user or role a principal's ARN or unique
// id belongs to; for the ARN of a session, that of its role. Without an id,
// local says that the account is served here, so that there is no such
// principal.
type Lookup func(principal string) (id string, local bool, err error)

// Bind looks up the principals a document names. One that does not exist is an
// *Error with ProblemPrincipal, unless its account is not known here; other
// errors are those of lookup.
func Bind(d *Document, lookup Lookup) (Bindings, error) {
	b := make(Bindings)
	for i := range d.statements {
		for _, p := range d.statements[i].principals.entries {
			if err := b.bind(&p, lookup); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func (b Bindings) bind(p *principal, lookup Lookup) error {
	byID := p.form == formUserID || p.form == formRoleID
	if !byID && !p.bindable() {
		return nil
	}
	id, local, err := lookup(p.text)
	switch {
	case err != nil:
		return err
	case id == "" && (local || byID):
		return principalError(p.at, p.provider, p.text)
	case !byID:
		b[p.text] = id
	}
	return nil
}
