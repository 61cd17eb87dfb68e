package policy

import (
	"bytes"
	"encoding/base64"
	"errors"
)

var (
	errBool   = errors.New("neither true nor false")
	errBinary = errors.New("not base64")
)

// textOperand is a value of the string operators: a pattern whose dialect says
// how it is compared.
type textOperand struct{ pattern pattern }

func compileString(l literal) (operand, error) {
	return newText(l, dialect{variables: l.variables})
}

func compileFoldedString(l literal) (operand, error) {
	return newText(l, dialect{variables: l.variables, fold: true})
}

func compileWildcards(l literal) (operand, error) {
	return newText(l, dialect{variables: l.variables, wildcards: true})
}

func newText(l literal, d dialect) (operand, error) {
	p, err := compile(l.text, d)
	if err != nil {
		return nil, err
	}
	return &textOperand{p}, nil
}

func (o *textOperand) match(value string, r *Request) bool { return o.pattern.match(value, r) }

// boolOperand is a value of Bool, true or false in any case. A variable may
// stand for it.
type boolOperand struct {
	pattern pattern
}

func compileBool(l literal) (operand, error) {
	p, err := compile(l.text, dialect{variables: l.variables, fold: true})
	if err != nil {
		return nil, err
	}
	if _, ok := parseBool(l.text); !ok && !p.has(tokenVariable) {
		return nil, errBool
	}
	return &boolOperand{p}, nil
}

func (o *boolOperand) match(value string, r *Request) bool {
	_, ok := parseBool(value)
	return ok && o.pattern.match(value, r)
}

func parseBool(text string) (value, ok bool) {
	value = equalFold(text, "true")
	return value, value || equalFold(text, "false")
}

// binaryOperand is a value of BinaryEquals, decoded.
type binaryOperand struct{ content []byte }

func compileBinary(l literal) (operand, error) {
	content, err := base64.StdEncoding.DecodeString(l.text)
	if err != nil {
		return nil, errBinary
	}
	return &binaryOperand{content}, nil
}

func (o *binaryOperand) match(value string, _ *Request) bool {
	content, err := base64.StdEncoding.DecodeString(value)
	return err == nil && bytes.Equal(content, o.content)
}
