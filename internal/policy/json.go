package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of a text, whatever it says (access-control §3.1).
const (
	textBytesMax = 131072
	nestingMax   = 10
)

// jsonKind is the type of a JSON value.
type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonString
	jsonNumber
	jsonBool
	jsonArray
	jsonObject
)

// value is one JSON value of a policy text. Members keep their order.
type value struct {
	at      string // JSON pointer
	kind    jsonKind
	text    string // of a string, a number or a boolean
	items   []value
	members []member
}

type member struct {
	name  string
	value value
}

// readJSON reads one JSON value and nothing else. It is stricter than
// encoding/json where two readers might disagree: duplicate names, invalid
// UTF-8 and half surrogate pairs are faults (access-control §3.1, §7.1).
func readJSON(text []byte) (value, error) {
	if len(text) > textBytesMax {
		return value{}, tooLong(textBytesMax, "")
	}
	if !utf8.Valid(text) {
		return value{}, syntaxError("", "not UTF-8")
	}
	r := jsonReader{json.NewDecoder(bytes.NewReader(text))}
	r.UseNumber()
	v, err := r.value("", 1)
	if err != nil {
		return value{}, err
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return value{}, syntaxError("", "more than one JSON value")
	}
	return v, nil
}

type jsonReader struct{ *json.Decoder }

// value reads the value at a pointer, depth levels down.
func (r jsonReader) value(at string, depth int) (value, error) {
	t, err := r.Token()
	if err != nil {
		return value{}, syntaxError(at, "not JSON")
	}
	v := value{at: at}
	switch t := t.(type) {
	case string:
		v.kind, v.text = jsonString, t
		return v, checkString(at, t)
	case json.Number:
		v.kind, v.text = jsonNumber, t.String()
	case bool:
		v.kind, v.text = jsonBool, strconv.FormatBool(t)
	case json.Delim:
		if depth > nestingMax {
			return v, syntaxError(at, fmt.Sprintf("nested deeper than %d", nestingMax))
		}
		if t == '[' {
			return r.array(v, depth)
		}
		return r.object(v, depth)
	}
	return v, nil
}

func (r jsonReader) array(v value, depth int) (value, error) {
	v.kind = jsonArray
	for r.More() {
		item, err := r.value(v.at+"/"+strconv.Itoa(len(v.items)), depth+1)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
	}
	return v, r.end(v.at)
}

func (r jsonReader) object(v value, depth int) (value, error) {
	v.kind = jsonObject
	seen := make(map[string]bool)
	for r.More() {
		t, err := r.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return v, syntaxError(v.at, "not JSON")
		}
		at := v.at + "/" + escapePointer(name)
		if err := checkString(at, name); err != nil {
			return v, err
		}
		if seen[name] {
			return v, syntaxError(at, "duplicate key")
		}
		seen[name] = true
		item, err := r.value(at, depth+1)
		if err != nil {
			return v, err
		}
		v.members = append(v.members, member{name, item})
	}
	return v, r.end(v.at)
}

func (r jsonReader) end(at string) error {
	if _, err := r.Token(); err != nil {
		return syntaxError(at, "not JSON")
	}
	return nil
}

// checkString refuses the character that encoding/json puts where half a
// surrogate pair stood; nobody needs it in a policy.
func checkString(at, s string) error {
	if strings.ContainsRune(s, utf8.RuneError) {
		return syntaxError(at, "replacement character or half a surrogate pair")
	}
	return nil
}

// escapePointer writes a name as a step of a JSON pointer (RFC 6901).
func escapePointer(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func (v *value) readString() (string, error) {
	if v.kind != jsonString {
		return "", syntaxError(v.at, "not a string")
	}
	return v.text, nil
}

// list returns the items of an array that is not empty; another value is a
// list of itself.
func (v *value) list() ([]value, error) {
	if v.kind != jsonArray {
		return []value{*v}, nil
	}
	if len(v.items) == 0 {
		return nil, syntaxError(v.at, "empty")
	}
	return v.items, nil
}

// scalars returns the texts of a string, number or boolean, or of an array of
// such, perhaps empty.
func (v *value) scalars() ([]string, error) {
	items := v.items
	if v.kind != jsonArray {
		items = []value{*v}
	}
	texts := make([]string, len(items))
	for i := range items {
		switch items[i].kind {
		case jsonString, jsonNumber, jsonBool:
			texts[i] = items[i].text
		default:
			return nil, syntaxError(items[i].at, "neither a string, a number nor a boolean")
		}
	}
	return texts, nil
}
