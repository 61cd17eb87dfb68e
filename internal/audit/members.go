package audit

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Members are the members of an object in a record, each name once. They are
// printed in the order of their names, and as null if there are none.
type Members []Member

// Member is a name with a value.
type Member struct {
	Name   string
	kind   memberKind
	text   string
	number int64
	tree   any
}

type memberKind uint8

const (
	textMember memberKind = iota
	numberMember
	flagMember
	treeMember
)

// Text adds a string.
func (m *Members) Text(name, value string) {
	*m = append(*m, Member{Name: name, kind: textMember, text: value})
}

// Number adds a whole number.
func (m *Members) Number(name string, value int64) {
	*m = append(*m, Member{Name: name, kind: numberMember, number: value})
}

// Flag adds true or false.
func (m *Members) Flag(name string, value bool) {
	f := Member{Name: name, kind: flagMember}
	if value {
		f.number = 1
	}
	*m = append(*m, f)
}

// Tree adds what encoding/json makes of any JSON: maps, lists, strings,
// numbers. It costs more than the others.
func (m *Members) Tree(name string, value any) {
	*m = append(*m, Member{Name: name, kind: treeMember, tree: value})
}

// Has reports whether there is a member of that name.
func (m *Members) Has(name string) bool {
	return slices.ContainsFunc(*m, func(o Member) bool { return o.Name == name })
}

// find returns the string of a name, "" if there is none.
func (m *Members) find(name string) string {
	for i := range *m {
		if (*m)[i].Name == name {
			return (*m)[i].text
		}
	}
	return ""
}

// without returns a copy that lacks some names.
func (m Members) without(names ...string) Members {
	return slices.DeleteFunc(slices.Clone(m), func(o Member) bool { return slices.Contains(names, o.Name) })
}

// composite reports whether the value has members or items of its own.
func (m *Member) composite() bool {
	switch m.tree.(type) {
	case map[string]any, []any, []string:
		return true
	}
	return false
}

// appendTo prints m, which is put in order.
func (m Members) appendTo(b []byte) []byte {
	if len(m) == 0 {
		return append(b, "null"...)
	}
	slices.SortFunc(m, func(x, y Member) int { return cmp.Compare(x.Name, y.Name) })
	open := byte('{')
	for i := range m {
		b = append(b, open)
		b = appendString(b, m[i].Name)
		b = append(b, ':')
		switch m[i].kind {
		case textMember:
			b = appendString(b, m[i].text)
		case numberMember:
			b = strconv.AppendInt(b, m[i].number, 10)
		case flagMember:
			b = strconv.AppendBool(b, m[i].number == 1)
		case treeMember:
			b = appendTree(b, m[i].tree)
		}
		open = ','
	}
	return append(b, '}')
}

// appendBounded prints m in at most limit bytes: as it is, or with its long
// strings cut, or without its lists and objects too, or only with a word that
// it was too long.
func (m Members) appendBounded(b []byte, limit int) []byte {
	start := len(b)
	if b = m.appendTo(b); len(b)-start <= limit {
		return b
	}
	short := make(Members, 0, len(m)+1)
	for _, o := range m {
		o.Name, o.text, o.tree = cut(o.Name, textMax), cut(o.text, textMax), shorten(o.tree)
		short = append(short, o)
	}
	short.Flag("truncated", true)
	if b = short.appendTo(b[:start]); len(b)-start <= limit {
		return b
	}
	short = slices.DeleteFunc(short, func(o Member) bool { return o.composite() })
	if b = short.appendTo(b[:start]); len(b)-start <= limit {
		return b
	}
	return append(b[:start], `{"truncated":true}`...)
}

func shorten(v any) any {
	switch v := v.(type) {
	case string:
		return cut(v, textMax)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[cut(key, textMax)] = shorten(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = shorten(item)
		}
		return out
	}
	return v
}

// cut shortens s to at most limit bytes, not within a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// appendTree prints what encoding/json made of JSON, the members of objects in
// the order of their names.
func appendTree(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case map[string]any:
		open := byte('{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b = append(b, open)
			b = append(appendString(b, name), ':')
			b = appendTree(b, v[name])
			open = ','
		}
		if open == '{' {
			b = append(b, '{')
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendTree(b, item)
		}
		return append(b, ']')
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic("audit: a value does not encode: " + err.Error())
	}
	return append(b, text...)
}

const hexDigits = "0123456789abcdef"

// appendString prints s as encoding/json does when it escapes no HTML and what
// is not UTF-8 was made U+FFFD before. U+2028 and U+2029, which end lines in some
// languages, are escaped.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); {
		if i+8 <= len(s) && plain(s[i:]) {
			i += 8
			continue
		}
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = appendEscape(append(b, s[done:i]...), c)
			i++
			done = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[done:i]...), "\ufffd"...)
			done = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(append(b, s[done:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xf])
			done = i + size
		}
		i += size
	}
	b = append(b, s[done:]...)
	return append(b, '"')
}

// plain reports whether the first eight bytes of s are ASCII that stands for
// itself: the subtractions set the highest bit of the first byte that is not.
func plain(s string) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	return (w|(w-ones*' ')|((w^ones*'"')-ones)|((w^ones*'\\')-ones))&highs == 0
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
