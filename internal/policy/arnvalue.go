package policy

import (
	"errors"
	"strings"
)

var errARN = errors.New("not an ARN")

// arnParts is the number of parts of an ARN; the last may contain colons.
const arnParts = 6

// arnOperand is a value of the ARN operators: a pattern for each part, so that
// a * never crosses one of the first five colons (access-control §3.4).
type arnOperand struct {
	parts []pattern
	whole pattern // without parts: a text that is an ARN once its variables have values
}

func compileARN(l literal) (operand, error) {
	p, err := compile(l.text, dialect{wildcards: true, variables: l.variables})
	if err != nil {
		return nil, err
	}
	parts, ok := p.split(arnParts)
	switch {
	case ok && parts[0].matchesARNPrefix():
		return &arnOperand{parts: parts}, nil
	case !ok && p.has(tokenVariable) && !p.has(tokenRun) && !p.has(tokenOne):
		return &arnOperand{whole: p}, nil
	default:
		return nil, errARN
	}
}

// matchesARNPrefix reports whether the first part of an ARN pattern can be
// the first part of an ARN.
func (p *pattern) matchesARNPrefix() bool {
	w := p.widened()
	return w.match("arn", nil)
}

func (o *arnOperand) match(value string, r *Request) bool {
	if !strings.HasPrefix(value, "arn:") {
		return false
	}
	if o.parts == nil {
		return strings.Count(value, ":") >= arnParts-1 && o.whole.match(value, r)
	}
	for i := range arnParts - 1 {
		part, rest, found := strings.Cut(value, ":")
		if !found || !o.parts[i].match(part, r) {
			return false
		}
		value = rest
	}
	return o.parts[arnParts-1].match(value, r)
}
