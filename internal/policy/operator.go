package policy

import "strings"

// relation is the comparison an operator makes.
type relation uint8

const (
	equal relation = iota
	less
	lessEqual
	greater
	greaterEqual
)

// holds reports whether a comparison that came out as cmp.Compare does
// satisfies the relation.
func (r relation) holds(order int) bool {
	switch r {
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	case greater:
		return order > 0
	case greaterEqual:
		return order >= 0
	default:
		return order == 0
	}
}

// operand is one policy value, compiled for its operator.
type operand interface {
	// match makes the operator's positive test on one value of the request. A
	// value that cannot be read as the operator's type does not match.
	match(value string, r *Request) bool
}

// literal is what an operand is made of.
type literal struct {
	text      string
	relation  relation
	variables bool // the document's version has variables
}

// operator is a condition operator without prefix and suffix
// (access-control §3.4).
type operator struct {
	name     string
	relation relation
	negated  bool
	null     bool // the Null operator, which looks at presence and has no operands
	compile  func(literal) (operand, error)
}

var operators = []operator{
	{name: "StringEquals", compile: compileString},
	{name: "StringNotEquals", negated: true, compile: compileString},
	{name: "StringEqualsIgnoreCase", compile: compileFoldedString},
	{name: "StringNotEqualsIgnoreCase", negated: true, compile: compileFoldedString},
	{name: "StringLike", compile: compileWildcards},
	{name: "StringNotLike", negated: true, compile: compileWildcards},
	{name: "NumericEquals", compile: compileNumber},
	{name: "NumericNotEquals", negated: true, compile: compileNumber},
	{name: "NumericLessThan", relation: less, compile: compileNumber},
	{name: "NumericLessThanEquals", relation: lessEqual, compile: compileNumber},
	{name: "NumericGreaterThan", relation: greater, compile: compileNumber},
	{name: "NumericGreaterThanEquals", relation: greaterEqual, compile: compileNumber},
	{name: "DateEquals", compile: compileDate},
	{name: "DateNotEquals", negated: true, compile: compileDate},
	{name: "DateLessThan", relation: less, compile: compileDate},
	{name: "DateLessThanEquals", relation: lessEqual, compile: compileDate},
	{name: "DateGreaterThan", relation: greater, compile: compileDate},
	{name: "DateGreaterThanEquals", relation: greaterEqual, compile: compileDate},
	{name: "Bool", compile: compileBool},
	{name: "BinaryEquals", compile: compileBinary},
	{name: "IpAddress", compile: compileNetwork},
	{name: "NotIpAddress", negated: true, compile: compileNetwork},
	{name: "ArnEquals", compile: compileARN},
	{name: "ArnNotEquals", negated: true, compile: compileARN},
	{name: "ArnLike", compile: compileARN},
	{name: "ArnNotLike", negated: true, compile: compileARN},
	{name: "Null", null: true},
}

// quantifier says how the values of a multi-valued key count.
type quantifier uint8

const (
	single quantifier = iota // the key must not be multi-valued
	forAll                   // every value must satisfy the operator
	forAny                   // one value must
)

// What may stand around the name of an operator.
const (
	prefixAll = "ForAllValues:"
	prefixAny = "ForAnyValue:"
	ifExists  = "IfExists"
)

// test is an operator with its prefix and suffix.
type test struct {
	operator   operator
	quantifier quantifier
	ifExists   bool
}

// parseTest reads the name of an operator, which ignores case.
func parseTest(name string) (test, bool) {
	var t test
	if hasPrefixFold(name, prefixAll) {
		t.quantifier, name = forAll, name[len(prefixAll):]
	} else if hasPrefixFold(name, prefixAny) {
		t.quantifier, name = forAny, name[len(prefixAny):]
	}
	if n := len(name) - len(ifExists); n > 0 && equalFold(name[n:], ifExists) {
		t.ifExists, name = true, name[:n]
	}
	for _, op := range operators {
		if equalFold(op.name, name) {
			t.operator = op
			return t, !op.null || t.quantifier == single && !t.ifExists
		}
	}
	return test{}, false
}

// String writes the name as the documentation spells it.
func (t test) String() string {
	var b strings.Builder
	switch t.quantifier {
	case forAll:
		b.WriteString(prefixAll)
	case forAny:
		b.WriteString(prefixAny)
	case single:
	}
	b.WriteString(t.operator.name)
	if t.ifExists {
		b.WriteString(ifExists)
	}
	return b.String()
}
