package policy

import (
	"strings"
	"unicode/utf8"
)

// tokenKind says what a token of a pattern matches.
type tokenKind uint8

const (
	tokenLiteral  tokenKind = iota // its text
	tokenOne                       // ?: exactly one character
	tokenRun                       // *: any characters, also none
	tokenVariable                  // ${…}: the value of a key, as literal text
)

// token is one step of a pattern.
type token struct {
	kind        tokenKind
	text        string // of a literal
	key         string // of a variable, folded
	fallback    string // a variable's default
	hasFallback bool   // a variable has one
}

// dialect says which characters of a text are special (access-control §3.2).
type dialect struct {
	wildcards bool // * and ?
	variables bool // ${…}
	fold      bool // compare ignoring the case of ASCII letters
}

// pattern is a text compiled for matching. A pattern does not change.
type pattern struct {
	source string // as written
	tokens []token
	fold   bool
}

// compile turns text into a pattern. It fails for a malformed variable only.
func compile(text string, d dialect) (pattern, error) {
	c := compiler{dialect: d}
	for rest := text; rest != ""; {
		n := strings.IndexAny(rest, "*?$")
		if n < 0 {
			c.literal(rest)
			break
		}
		c.literal(rest[:n])
		var err error
		if rest, err = c.special(rest[n:]); err != nil {
			return pattern{}, err
		}
	}
	return pattern{source: text, tokens: c.tokens, fold: d.fold}, nil
}

// compiler collects the tokens of one pattern.
type compiler struct {
	dialect
	tokens []token
}

// special takes a token off the front of rest, which begins with *, ? or $,
// and returns what is left.
func (c *compiler) special(rest string) (string, error) {
	switch {
	case rest[0] == '*' && c.wildcards:
		if n := len(c.tokens); n == 0 || c.tokens[n-1].kind != tokenRun {
			c.tokens = append(c.tokens, token{kind: tokenRun})
		}
	case rest[0] == '?' && c.wildcards:
		c.tokens = append(c.tokens, token{kind: tokenOne})
	case c.variables && strings.HasPrefix(rest, "${"):
		v, left, err := parseVariable(rest)
		if err != nil {
			return "", err
		}
		if v.kind == tokenLiteral {
			c.literal(v.text)
		} else {
			c.tokens = append(c.tokens, v)
		}
		return left, nil
	default:
		c.literal(rest[:1])
	}
	return rest[1:], nil
}

func (c *compiler) literal(text string) {
	if text == "" {
		return
	}
	if n := len(c.tokens); n > 0 && c.tokens[n-1].kind == tokenLiteral {
		c.tokens[n-1].text += text
		return
	}
	c.tokens = append(c.tokens, token{kind: tokenLiteral, text: text})
}

// match reports whether the whole of s matches, with variables taken from r.
// A variable without a value matches nothing. The walk is greedy with one
// point of return, the latest *: leftmost matches of what stands between two
// stars are as good as any, so it needs no recursion and O(len(s)·len(p)).
func (p *pattern) match(s string, r *Request) bool {
	next, at := 0, 0
	resume, anchor := -1, 0
	for {
		if r != nil && r.steps != nil {
			if *r.steps--; *r.steps < 0 {
				return false // the request is denied for it, whatever else matches
			}
		}
		if next < len(p.tokens) && p.tokens[next].kind == tokenRun {
			next++
			if next == len(p.tokens) {
				return true
			}
			resume, anchor = next, at
			continue
		}
		if next == len(p.tokens) && at == len(s) {
			return true
		}
		if next < len(p.tokens) {
			if width, ok := p.consume(&p.tokens[next], s[at:], r); ok {
				next, at = next+1, at+width
				continue
			}
		}
		if resume < 0 || anchor == len(s) {
			return false
		}
		_, width := utf8.DecodeRuneInString(s[anchor:])
		anchor += width
		next, at = resume, anchor
	}
}

// consume matches one token, not a run, at the front of s and returns how many
// bytes it took.
func (p *pattern) consume(t *token, s string, r *Request) (width int, ok bool) {
	text := t.text
	switch t.kind {
	case tokenOne:
		_, width = utf8.DecodeRuneInString(s)
		return width, width > 0
	case tokenVariable:
		if text, ok = r.variable(t.key); !ok {
			if !t.hasFallback {
				return 0, false
			}
			text = t.fallback
		}
	}
	if p.fold {
		return len(text), hasPrefixFold(s, text)
	}
	return len(text), strings.HasPrefix(s, text)
}

// constant reports whether the pattern matches one text only.
func (p *pattern) constant() bool {
	return !p.has(tokenOne) && !p.has(tokenRun) && !p.has(tokenVariable)
}

func (p *pattern) has(k tokenKind) bool {
	for i := range p.tokens {
		if p.tokens[i].kind == k {
			return true
		}
	}
	return false
}

// widened returns the pattern with a * for each variable: it matches whatever
// p may match for some request.
func (p *pattern) widened() pattern {
	w := pattern{source: p.source, tokens: make([]token, len(p.tokens)), fold: p.fold}
	for i, t := range p.tokens {
		if t.kind == tokenVariable {
			t = token{kind: tokenRun}
		}
		w.tokens[i] = t
	}
	return w
}

// split cuts a pattern at the first count-1 literal colons. Colons inside
// variables do not count, nor do those a variable brings in later.
func (p *pattern) split(count int) ([]pattern, bool) {
	parts := []pattern{{fold: p.fold}}
	for _, t := range p.tokens {
		for t.kind == tokenLiteral && len(parts) < count {
			before, after, found := strings.Cut(t.text, ":")
			if !found {
				break
			}
			last := &parts[len(parts)-1]
			if before != "" {
				last.tokens = append(last.tokens, token{kind: tokenLiteral, text: before})
			}
			parts = append(parts, pattern{fold: p.fold})
			t.text = after
		}
		if t.kind != tokenLiteral || t.text != "" {
			last := &parts[len(parts)-1]
			last.tokens = append(last.tokens, t)
		}
	}
	return parts, len(parts) == count
}

// hasPrefixFold is strings.HasPrefix ignoring the case of ASCII letters.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(s[i]) != lower(prefix[i]) {
			return false
		}
	}
	return true
}

func equalFold(a, b string) bool { return len(a) == len(b) && hasPrefixFold(a, b) }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
