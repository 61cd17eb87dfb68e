package disk

import "unsafe"

// largePage is what memory for transfers is aligned to.
const largePage = 2 << 20

// Memory returns n bytes for transfers, aligned, in large pages if there are
// any: the kernel then has one piece to hand to the disk where it would have
// hundreds. It becomes resident as it is used.
func Memory(n int) []byte {
	p := make([]byte, n+largePage)
	past := int(uintptr(unsafe.Pointer(unsafe.SliceData(p))) % largePage)
	p = p[(largePage-past)%largePage:][:n:n]
	adviseLarge(p)
	return p
}
