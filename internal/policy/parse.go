package policy

// Parse reads a policy and compiles it. The error is an *Error: the first
// fault that is one wherever the policy is used (access-control §3.1, §3.4).
// The text is not kept.
func Parse(text []byte) (*Document, error) {
	v, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	d := &Document{version: version2008, sizeBytes: len(text), weight: weigh(string(text)), odd: oddCharacters(string(text))}
	if err := d.read(&v); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Document) read(v *value) error {
	if v.kind != jsonObject {
		return syntaxError(v.at, "not an object")
	}
	var statement *value
	for i := range v.members {
		m := &v.members[i]
		var err error
		switch m.name {
		case "Version":
			err = d.readVersion(&m.value)
		case "Id":
			d.identified = true
			d.id, err = m.value.readString()
		case "Statement":
			statement = &m.value
		default:
			err = syntaxError(m.value.at, "unknown key")
		}
		if err != nil {
			return err
		}
	}
	if statement == nil {
		return syntaxError("/Statement", "missing")
	}
	return d.readStatements(statement)
}

func (d *Document) readVersion(v *value) (err error) {
	if d.version, err = v.readString(); err != nil {
		return err
	}
	if d.version != version2008 && d.version != version2012 {
		return versionError(v.at)
	}
	return nil
}

func (d *Document) readStatements(v *value) error {
	items := v.items
	switch v.kind {
	case jsonObject:
		items = []value{*v}
	case jsonArray:
	default:
		return syntaxError(v.at, "neither an object nor an array")
	}
	d.statements = make([]statement, len(items))
	for i := range items {
		if err := d.statements[i].read(&items[i], d.variables()); err != nil {
			return err
		}
	}
	return nil
}
