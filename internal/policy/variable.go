package policy

import (
	"errors"
	"strings"
)

var errVariable = errors.New("malformed variable")

// parseVariable takes a policy variable off the front of text, which begins
// with "${". The forms are ${key}, ${key, 'default'} and the escapes ${*},
// ${?} and ${$}, which are literal text (access-control §3.2).
func parseVariable(text string) (t token, rest string, err error) {
	body := text[len("${"):]
	if len(body) >= 2 && body[1] == '}' && strings.IndexByte("*?$", body[0]) >= 0 {
		return token{kind: tokenLiteral, text: body[:1]}, body[2:], nil
	}
	end := strings.IndexAny(body, "},'{$*?")
	if end <= 0 {
		return token{}, "", errVariable
	}
	key, body := strings.TrimSpace(body[:end]), body[end:]
	if key == "" {
		return token{}, "", errVariable
	}
	t = token{kind: tokenVariable, key: foldKey(key)}
	switch body[0] {
	case '}':
		return t, body[1:], nil
	case ',':
		t.fallback, rest, err = parseDefault(body[1:])
		t.hasFallback = true
		return t, rest, err
	default:
		return token{}, "", errVariable
	}
}

// parseDefault reads the quoted text after a variable's comma and the closing
// brace. The text is free but for the quote itself.
func parseDefault(body string) (text, rest string, err error) {
	body, quoted := strings.CutPrefix(strings.TrimLeft(body, " "), "'")
	text, rest, closed := strings.Cut(body, "'")
	rest, ended := strings.CutPrefix(strings.TrimLeft(rest, " "), "}")
	if !quoted || !closed || !ended {
		return "", "", errVariable
	}
	return text, rest, nil
}
