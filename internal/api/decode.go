package api

import (
	"encoding/json"

	"moraine"
)

// object is a JSON object being decoded. The first mismatch is kept in err,
// which nested objects share.
type object struct {
	fields map[string]json.RawMessage // nil if absent or null
	err    *error
}

// errNotJSON is the refusal of a body that is not the JSON it should be.
func errNotJSON() error {
	return moraine.Errorf(moraine.Malformed, "Could not parse request body into json.")
}

// decodeObject reads one JSON object; keys are case-sensitive and the last of
// several equal ones wins.
func decodeObject(body []byte) (object, error) {
	var err error
	o := object{err: &err}
	if json.Unmarshal(body, &o.fields) != nil || o.fields == nil {
		return o, errNotJSON()
	}
	return o, nil
}

func (o object) fail() {
	if *o.err == nil {
		*o.err = errNotJSON()
	}
}

// text reads a string; a number or boolean becomes its text, null is absent.
func (o object) text(key string, to *string) {
	raw, ok := o.fields[key]
	if !ok || string(raw) == "null" {
		return
	}
	switch raw[0] {
	case '"':
		if json.Unmarshal(raw, to) != nil {
			o.fail()
		}
	case '{', '[':
		o.fail()
	default:
		*to = string(raw)
	}
}

// has reports whether a field is there; null is absent.
func (o object) has(key string) bool {
	raw, ok := o.fields[key]
	return ok && string(raw) != "null"
}

// number reads the text of a number; null is absent.
func (o object) number(key string, to *string) {
	if !o.has(key) {
		return
	}
	if c := o.fields[key][0]; c != '-' && (c < '0' || c > '9') {
		o.fail()
		return
	}
	*to = string(o.fields[key])
}

// object reads a nested object; null is absent.
func (o object) object(key string) object {
	if !o.has(key) {
		return object{err: o.err}
	}
	return o.nested(o.fields[key])
}

// nested reads an object that is a value of o.
func (o object) nested(raw json.RawMessage) object {
	in := object{err: o.err}
	if raw[0] != '{' || json.Unmarshal(raw, &in.fields) != nil {
		o.fail()
	}
	return in
}

// list reads a list of anything; ok is false if it is absent, as null is.
func (o object) list(key string) (items []json.RawMessage, ok bool) {
	if !o.has(key) {
		return nil, false
	}
	raw := o.fields[key]
	if raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
		o.fail()
	}
	return items, true
}

// texts reads a list of strings, each as text does; nil if it is absent.
func (o object) texts(key string) []string {
	list, ok := o.list(key)
	if !ok {
		return nil
	}
	texts := make([]string, len(list))
	for i, raw := range list {
		item := object{fields: map[string]json.RawMessage{"": raw}, err: o.err}
		item.text("", &texts[i])
	}
	return texts
}
