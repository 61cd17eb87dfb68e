package access

// CompiledBytes is how much policy text a keeps the compiled form of.
func CompiledBytes(a *Authority) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.textBytes
}
