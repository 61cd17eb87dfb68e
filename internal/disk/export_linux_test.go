package disk

// Ended returns what Next makes of a transfer of p at off that the kernel ended with
// n bytes or an error.
func Ended(f File, write bool, p []byte, off int64, n int, err error) ([]byte, error) {
	t := NewTransfers(1)
	defer t.Close()
	t.slots[0] = slot{p: p, file: f.(*osFile), off: off, write: write, done: true, n: n, err: err}
	t.started++
	return t.Next()
}
