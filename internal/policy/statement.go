package policy

import "strconv"

// statement is one statement of a Document.
type statement struct {
	at         string // JSON pointer
	sid        string
	effect     Effect
	principals principals
	actions    element
	resources  element
	conditions []condition
}

// element is a list of patterns, or of patterns that must not match: Action
// and NotAction, Resource and NotResource. Without patterns it is absent.
type element struct {
	negated  bool
	patterns []pattern
}

// matches reports whether the element covers s.
func (e *element) matches(s string, r *Request) bool {
	for i := range e.patterns {
		if e.patterns[i].match(s, r) {
			return !e.negated
		}
	}
	return e.negated
}

// name returns the key of the element.
func (e *element) name(base string) string {
	if e.negated {
		return "Not" + base
	}
	return base
}

// pointer returns the JSON pointer of a pattern of the element.
func (e *element) pointer(s *statement, base string, i int) string {
	at := s.at + "/" + e.name(base)
	if len(e.patterns) > 1 {
		at += "/" + strconv.Itoa(i)
	}
	return at
}

func (s *statement) read(v *value, variables bool) error {
	s.at = v.at
	if v.kind != jsonObject {
		return syntaxError(v.at, "not an object")
	}
	for i := range v.members {
		if err := s.readMember(&v.members[i], variables); err != nil {
			return err
		}
	}
	switch {
	case s.effect == "":
		return syntaxError(s.at+"/Effect", "missing")
	case s.actions.patterns == nil:
		return noActionError(s.at+"/Action", "missing")
	case s.principals.negated && s.effect == Allow:
		return structureError(s.at+"/NotPrincipal", "not allowed with Allow")
	}
	return nil
}

func (s *statement) readMember(m *member, variables bool) (err error) {
	v := &m.value
	switch m.name {
	case "Sid":
		s.sid, err = v.readString()
	case "Effect":
		err = s.readEffect(v)
	case "Principal", "NotPrincipal":
		err = s.readPrincipals(v, m.name == "NotPrincipal")
	case "Action", "NotAction":
		if len(v.items) == 0 && v.kind == jsonArray {
			return noActionError(v.at, "empty")
		}
		err = s.actions.read(v, m.name == "NotAction", dialect{wildcards: true, fold: true})
	case "Resource", "NotResource":
		if len(v.items) == 0 && v.kind == jsonArray {
			return noResourceError(v.at, "empty")
		}
		err = s.resources.read(v, m.name == "NotResource", dialect{wildcards: true, variables: variables})
	case "Condition":
		err = s.readConditions(v, variables)
	default:
		err = syntaxError(v.at, "unknown key")
	}
	return err
}

func (s *statement) readEffect(v *value) error {
	text, err := v.readString()
	if err != nil {
		return err
	}
	s.effect = Effect(text)
	if s.effect != Allow && s.effect != Deny {
		return syntaxError(v.at, "neither Allow nor Deny")
	}
	return nil
}

func (e *element) read(v *value, negated bool, d dialect) error {
	if e.patterns != nil {
		return syntaxError(v.at, "only one of an element and its negation is allowed")
	}
	e.negated = negated
	items, err := v.list()
	if err != nil {
		return err
	}
	e.patterns = make([]pattern, len(items))
	for i := range items {
		text, err := items[i].readString()
		if err != nil {
			return err
		}
		if e.patterns[i], err = compile(text, d); err != nil {
			return structureError(items[i].at, err.Error())
		}
	}
	return nil
}

// readPrincipals reads "*" or an object of providers (access-control §3.3).
func (s *statement) readPrincipals(v *value, negated bool) error {
	if s.principals.entries != nil {
		return syntaxError(v.at, "only one of Principal and NotPrincipal is allowed")
	}
	s.principals.negated = negated
	switch {
	case v.kind == jsonString && v.text == everyone:
		if err := s.readProvider(providerAWS, v); err != nil {
			return err
		}
	case v.kind == jsonObject && len(v.members) > 0:
		for i := range v.members {
			if err := s.readProvider(v.members[i].name, &v.members[i].value); err != nil {
				return err
			}
		}
	default:
		return syntaxError(v.at, `neither "*" nor an object with entries`)
	}
	return nil
}

func (s *statement) readProvider(provider string, v *value) error {
	items, err := v.list()
	if err != nil {
		return err
	}
	for i := range items {
		text, err := items[i].readString()
		if err != nil {
			return err
		}
		p := principal{at: items[i].at, provider: provider, text: text}
		switch provider {
		case providerAWS:
			if p, err = newPrincipal(items[i].at, text); err != nil {
				return err
			}
		case providerFederated, providerService, providerCanonical:
		default:
			return syntaxError(v.at, "unknown key")
		}
		if s.principals.negated && text == everyone {
			return structureError(p.at, "* is not allowed in NotPrincipal")
		}
		s.principals.entries = append(s.principals.entries, p)
	}
	return nil
}

// readConditions reads operators, their keys and the values of these. Names of
// operators and keys ignore case, so names that differ by case only are
// duplicates (access-control §3.1).
func (s *statement) readConditions(v *value, variables bool) error {
	if v.kind != jsonObject {
		return syntaxError(v.at, "not an object")
	}
	seen := make(map[string]bool)
	for i := range v.members {
		op := &v.members[i]
		t, ok := parseTest(op.name)
		switch {
		case !ok:
			return syntaxError(op.value.at, "unknown operator")
		case seen[t.String()]:
			return syntaxError(op.value.at, "duplicate key")
		case op.value.kind != jsonObject:
			return syntaxError(op.value.at, "not an object")
		}
		seen[t.String()] = true
		if err := s.readKeys(t, &op.value, variables); err != nil {
			return err
		}
	}
	return nil
}

func (s *statement) readKeys(t test, v *value, variables bool) error {
	seen := make(map[string]bool)
	for i := range v.members {
		m := &v.members[i]
		folded := foldKey(m.name)
		if seen[folded] {
			return syntaxError(m.value.at, "duplicate key")
		}
		seen[folded] = true
		values, err := m.value.scalars()
		if err != nil {
			return err
		}
		c, bad, err := newCondition(t, m.name, values, variables)
		c.at = m.value.at
		if err != nil {
			at := m.value.at
			if m.value.kind == jsonArray {
				at += "/" + strconv.Itoa(bad)
			}
			return structureError(at, err.Error())
		}
		s.conditions = append(s.conditions, c)
	}
	return nil
}
