package policy_test

import (
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"moraine/internal/policy"
)

// naiveMatch follows the definition of * and ? to the letter.
func naiveMatch(pattern, s []rune) bool {
	// row[j] says whether the pattern so far matches s[:j].
	row := make([]bool, len(s)+1)
	row[0] = true
	for _, p := range pattern {
		next := make([]bool, len(s)+1)
		for j := range next {
			switch {
			case p == '*':
				next[j] = row[j] || j > 0 && next[j-1]
			case j > 0:
				next[j] = row[j-1] && (p == '?' || p == s[j-1])
			}
		}
		row = next
	}
	return row[len(s)]
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"*", ""}, {"?", ""}, {"a*b*c", "aXbYbc"}, {"*a*b", "aab"}, {"**?*", "é"}, {"a?c", "abc"},
		{"*ab*ab", "abab"}, {"*ab?", "aabab"}, {"glacier:*", "glacier:DeleteArchive"}, {"*?é", "éé"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(s) || len(pattern)*len(s) > 1<<16 {
			return
		}
		want := naiveMatch([]rune(pattern), []rune(s))
		if got, err := policy.MatchPattern(pattern, s, false, nil); err != nil || got != want {
			t.Fatalf("match(%q, %q) = %t, %v, want %t", pattern, s, got, err, want)
		}
		folded, s := foldASCII(pattern), foldASCII(s)
		want = naiveMatch([]rune(folded), []rune(s))
		if got, err := policy.MatchPattern(pattern, s, true, nil); err != nil || got != want {
			t.Fatalf("match(%q, %q) ignoring case = %t, %v, want %t", pattern, s, got, err, want)
		}
	})
}

func foldASCII(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

// TestMatchProperty tries the small alphabets in which wildcards collide.
func TestMatchProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab*?é")), 0, 12, -1).Draw(rt, "pattern")
		s := rapid.StringOfN(rapid.SampledFrom([]rune("abé")), 0, 12, -1).Draw(rt, "s")
		want := naiveMatch([]rune(pattern), []rune(s))
		if got, _ := policy.MatchPattern(pattern, s, false, nil); got != want {
			rt.Fatalf("match(%q, %q) = %t, want %t", pattern, s, got, want)
		}
	})
}

// TestMatchCost runs the patterns that exhaust matchers which try everything
// (access-control §7.1).
func TestMatchCost(t *testing.T) {
	t.Parallel()
	inputs := []string{strings.Repeat("a", 1024), strings.Repeat("a", 1023) + "b"}
	patterns := []string{
		strings.Repeat("*a", 10240), strings.Repeat("*a", 500) + "*c",
		strings.Repeat("*?", 10240), "*" + strings.Repeat("a", 1022) + "c*",
	}
	began := time.Now()
	for _, p := range patterns {
		for _, s := range inputs {
			if got, _ := policy.MatchPattern(p, s, false, nil); got {
				t.Errorf("a pattern of %d bytes matches", len(p))
			}
		}
	}
	// The bound is generous: backtracking would need longer than the universe.
	if spent := time.Since(began); spent > 10*time.Second {
		t.Errorf("took %v", spent)
	}
}

// TestVariables covers access-control §3.2.
func TestVariables(t *testing.T) {
	t.Parallel()
	r := request(user(accountA, "bob"), "DescribeVault", v1, nil)
	r.Context.Add("aws:PrincipalTag/team", "*")
	r.Context.Add("aws:PrincipalTag/cost center", "a:b?")
	r.Context.Add("aws:ResourceTag/empty", "")
	r.Context.Add("aws:ResourceTag/twice", "x")
	r.Context.Add("aws:ResourceTag/TWICE", "x")
	r.Context.AddSet("aws:TagKeys", []string{"x"})
	tests := []struct {
		name, pattern, s string
		want             bool
	}{
		{"value", "${aws:username}-*", "bob-2024", true},
		{"key ignores case", "${AWS:UserName}", "bob", true},
		{"value after a star", "*/${aws:username}", "a/b/bob", true},
		{"absent", "${aws:nokey}", "", false},
		{"absent never matches a star", "*${aws:nokey}*", "x", false},
		{"default", "${aws:nokey, 'dflt'}", "dflt", true},
		{"default without a space", "${aws:nokey,'dflt'}", "dflt", true},
		{"default is not needed", "${aws:username, 'dflt'}", "dflt", false},
		{"default is literal", "${aws:nokey, '*'}", "x", false},
		{"empty default", "a${aws:nokey, ''}b", "ab", true},
		{"default with a brace", "${aws:nokey, '}'}", "}", true},
		{"empty value is a value", "a${aws:ResourceTag/empty, 'x'}b", "ab", true},
		{"multi-valued is absent", "${aws:TagKeys}", "x", false},
		{"alternatives are absent", "${aws:ResourceTag/twice, 'y'}", "y", true},
		{"star in a value is literal", "${aws:PrincipalTag/team}", "anything", false},
		{"star in a value matches itself", "${aws:PrincipalTag/team}", "*", true},
		{"key with a space", "${aws:PrincipalTag/cost center}", "a:b?", true},
		{"literal star", "a${*}c", "a*c", true},
		{"literal star only", "a${*}c", "abc", false},
		{"literal question mark", "a${?}c", "a?c", true},
		{"literal question mark only", "a${?}c", "abc", false},
		{"literal dollar", "${$}{aws:username}", "${aws:username}", true},
		{"dollar alone", "a$b", "a$b", true},
		{"dollar at the end", "a$", "a$", true},
		{"two variables", "${aws:username}${aws:PrincipalAccount}", "bob111111111111", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := policy.MatchPattern(tt.pattern, tt.s, false, r)
			if err != nil || got != tt.want {
				t.Errorf("match(%q, %q) = %t, %v, want %t", tt.pattern, tt.s, got, err, tt.want)
			}
		})
	}
	for _, malformed := range []string{
		"${", "${}", "${aws:username", "${ }", "${aws:username, x}", "${aws:username, 'x}", "${aws:username, 'x'", "${a${b}}", "${a*}", "${, 'x'}", "${'x'}",
	} {
		if _, err := policy.MatchPattern(malformed, "", false, r); err == nil {
			t.Errorf("%q compiles", malformed)
		}
	}
}

// TestVariablesInPolicies covers where variables work, and the older version
// of the language, in which they do not.
func TestVariablesInPolicies(t *testing.T) {
	t.Parallel()
	bob := user(accountA, "bob")
	allowed := func(text, resource string) bool {
		p := &policy.Policies{Identity: []policy.Policy{{Document: parse(t, text)}}}
		return policy.Evaluate(request(bob, "DescribeVault", resource, nil), p).Allowed
	}
	own := `"Statement":{"Effect":"Allow","Action":"glacier:*","Resource":"` + vaults + `${aws:username}"}}`
	other := document(identity("Allow", "glacier:*", "!"+vaults+"${aws:nokey} "+vaults+"v2"))
	tests := []struct {
		name, text, resource string
		want                 bool
	}{
		{"2012", `{"Version":"2012-10-17",` + own, vaults + "bob", true},
		{"2008", `{"Version":"2008-10-17",` + own, vaults + "bob", false},
		{"2008 is literal", `{"Version":"2008-10-17",` + own, vaults + "${aws:username}", true},
		{"2008 is the default", `{` + own, vaults + "${aws:username}", true},
		{"NotResource, entry without a value", other, v1, true},
		{"NotResource, the other entry", other, vaults + "v2", false},
	}
	for _, tt := range tests {
		if got := allowed(tt.text, tt.resource); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	f.Add("10.0", "10")
	f.Add("-0.05", "-5e-2")
	f.Add("00012.340", "+1.234e1")
	f.Add("0.001", "0.0009")
	f.Fuzz(func(t *testing.T, a, b string) {
		order, ok := policy.CompareNumbers(a, b)
		if !ok || len(a) > 100 || len(b) > 100 || bigExponent(a) || bigExponent(b) {
			return
		}
		x, okX := new(big.Rat).SetString(a)
		y, okY := new(big.Rat).SetString(b)
		if !okX || !okY {
			t.Fatalf("%q or %q is no number for math/big", a, b)
		}
		if want := x.Cmp(y); order != want {
			t.Fatalf("compare(%q, %q) = %d, want %d", a, b, order, want)
		}
	})
}

// bigExponent reports whether an exponent is too large for math/big to expand.
func bigExponent(text string) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	return len(exponent) > 4
}

// TestNumbers checks what is a number, and that size costs nothing.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "-", "+", ".5", "5.", "1.2.3", "1e", "1e1.5", "0x10", "1_000", " 1", "1 ", "inf", "NaN", "1e9999999", "--1", "٣"} {
		if _, ok := policy.CompareNumbers(text, "1"); ok {
			t.Errorf("%q is a number", text)
		}
	}
	if order, ok := policy.CompareNumbers("1e1000000", "1e-1000000"); !ok || order != 1 {
		t.Errorf("large and small: %d, %t", order, ok)
	}
	if order, ok := policy.CompareNumbers("1e1000000", "10e999999"); !ok || order != 0 {
		t.Errorf("large and large: %d, %t", order, ok)
	}
}
