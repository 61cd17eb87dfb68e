package access

// CompiledText is how much policy text a keeps the compiled form of.
func CompiledText(a *Authority) int { return a.compiled.Text() }
