package config

import "testing"

func TestRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]RateLimit{
		"unlimited": {}, "50": {50, 50}, " 50/200 ": {50, 200}, "0.5": {0.5, 1}, "2.5/1": {2.5, 1},
	} {
		got, err := parseRate(text)
		if err != nil || got != want {
			t.Errorf("parseRate(%q) = %v, %v, want %v", text, got, err, want)
		}
		if again, err := parseRate(printRate(got)); err != nil || again != got {
			t.Errorf("%v is printed as %q and reads back as %v, %v", got, printRate(got), again, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "NaN", "Inf", "1e9", "5/0", "5/", "5/1.5", "/5", "x", "none"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("parseRate(%q) = %v", text, got)
		}
	}
}
