package policy

import "encoding/json"

// The shape in which a document is printed; texts in lists, numbers and
// booleans as strings, names in their documented spelling.
type (
	printedDocument struct {
		Version   string
		Id        *string `json:",omitempty"`
		Statement []printedStatement
	}
	printedStatement struct {
		Sid          string `json:",omitempty"`
		Effect       Effect
		Principal    map[string][]string            `json:",omitempty"`
		NotPrincipal map[string][]string            `json:",omitempty"`
		Action       []string                       `json:",omitempty"`
		NotAction    []string                       `json:",omitempty"`
		Resource     []string                       `json:",omitempty"`
		NotResource  []string                       `json:",omitempty"`
		Condition    map[string]map[string][]string `json:",omitempty"`
	}
)

// MarshalJSON writes the document in a canonical form with the same meaning.
// It is for people and tests; whoever set a policy is shown the text they sent.
func (d *Document) MarshalJSON() ([]byte, error) {
	p := printedDocument{Version: d.version, Statement: make([]printedStatement, len(d.statements))}
	if d.identified {
		p.Id = &d.id
	}
	for i := range d.statements {
		p.Statement[i] = d.statements[i].print()
	}
	return json.Marshal(p)
}

func (s *statement) print() printedStatement {
	p := printedStatement{Sid: s.sid, Effect: s.effect}
	if s.principals.negated {
		p.NotPrincipal = s.principals.print()
	} else {
		p.Principal = s.principals.print()
	}
	if s.actions.negated {
		p.NotAction = s.actions.print()
	} else {
		p.Action = s.actions.print()
	}
	if s.resources.negated {
		p.NotResource = s.resources.print()
	} else {
		p.Resource = s.resources.print()
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if p.Condition == nil {
			p.Condition = make(map[string]map[string][]string)
		}
		name := c.test.String()
		if p.Condition[name] == nil {
			p.Condition[name] = make(map[string][]string)
		}
		p.Condition[name][c.name] = c.values
	}
	return p
}

func (e *element) print() []string {
	var texts []string
	for i := range e.patterns {
		texts = append(texts, e.patterns[i].source)
	}
	return texts
}

func (ps *principals) print() map[string][]string {
	var m map[string][]string
	for i := range ps.entries {
		if m == nil {
			m = make(map[string][]string)
		}
		m[ps.entries[i].provider] = append(m[ps.entries[i].provider], ps.entries[i].text)
	}
	return m
}
