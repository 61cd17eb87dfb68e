package policy

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
)

var errNumber = errors.New("not a decimal number")

// exponentMax bounds the exponent of a number, so that powers of ten can be
// counted in an int.
const exponentMax = 1_000_000

// decimal is an exact decimal number: the digits of whole and fraction with
// the last of whole worth ten to the power of exponent.
type decimal struct {
	negative bool
	whole    string // without leading zeros
	fraction string // without trailing zeros
	exponent int
}

// parseDecimal reads a number as JSON writes it; a plus sign and leading zeros
// are allowed.
func parseDecimal(text string) (d decimal, ok bool) {
	mantissa, exponent, scientific := text, "", false
	if n := strings.IndexAny(text, "eE"); n >= 0 {
		mantissa, exponent, scientific = text[:n], text[n+1:], true
	}
	if scientific {
		n, err := strconv.Atoi(exponent)
		if err != nil || n > exponentMax || n < -exponentMax {
			return decimal{}, false
		}
		d.exponent = n
	}
	if mantissa != "" && (mantissa[0] == '-' || mantissa[0] == '+') {
		d.negative = mantissa[0] == '-'
		mantissa = mantissa[1:]
	}
	whole, fraction, pointed := strings.Cut(mantissa, ".")
	if !digits(whole) || pointed && !digits(fraction) {
		return decimal{}, false
	}
	d.whole, d.fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	return d, true
}

// digits reports whether s is one or more decimal digits.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// sign returns -1, 0 or 1.
func (d *decimal) sign() int {
	switch {
	case d.whole == "" && d.fraction == "":
		return 0
	case d.negative:
		return -1
	default:
		return 1
	}
}

// top returns the power of ten of the first digit that is not zero.
func (d *decimal) top() int {
	if d.whole != "" {
		return d.exponent + len(d.whole) - 1
	}
	zeros := len(d.fraction) - len(strings.TrimLeft(d.fraction, "0"))
	return d.exponent - 1 - zeros
}

// bottom returns a power of ten below which all digits are zero.
func (d *decimal) bottom() int { return d.exponent - len(d.fraction) }

// digit returns the digit worth ten to the given power.
func (d *decimal) digit(power int) byte {
	n := len(d.whole) - 1 - (power - d.exponent)
	switch {
	case n < 0 || n >= len(d.whole)+len(d.fraction):
		return '0'
	case n < len(d.whole):
		return d.whole[n]
	default:
		return d.fraction[n-len(d.whole)]
	}
}

// compare orders two numbers exactly. The loop runs over digits both texts
// spell out, never over zeros an exponent stands for.
func (d *decimal) compare(other *decimal) int {
	sign := d.sign()
	if order := cmp.Compare(sign, other.sign()); order != 0 || sign == 0 {
		return order
	}
	if order := cmp.Compare(d.top(), other.top()); order != 0 {
		return order * sign
	}
	for power := d.top(); power >= min(d.bottom(), other.bottom()); power-- {
		if order := cmp.Compare(d.digit(power), other.digit(power)); order != 0 {
			return order * sign
		}
	}
	return 0
}

// numberOperand is a value of the numeric operators.
type numberOperand struct {
	number   decimal
	relation relation
}

func compileNumber(l literal) (operand, error) {
	d, ok := parseDecimal(l.text)
	if !ok {
		return nil, errNumber
	}
	return &numberOperand{d, l.relation}, nil
}

func (o *numberOperand) match(value string, _ *Request) bool {
	d, ok := parseDecimal(value)
	return ok && o.relation.holds(d.compare(&o.number))
}
