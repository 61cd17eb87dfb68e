package mirror

import (
	"strings"

	"moraine"
)

// Format: never change. See docs/format/mirror.md.
const (
	refPrefix = "m2:"
	refPlus   = "+"
)

// The places of copies, in their order. Format: written to files, never change.
const (
	Primary = "primary"
	Second  = "mirror"
)

// The same as indices.
const (
	first = iota
	second
	sidesCount
)

var places = [sidesCount]string{Primary, Second}

// halves are the references of the copies; "" for one that was not made.
type halves [sidesCount]moraine.BlobRef

// parse reads what String prints. A reference without the prefix is of a blob
// that was put when there was one store.
func parse(ref moraine.BlobRef) (halves, error) {
	text, mirrored := strings.CutPrefix(string(ref), refPrefix)
	if !mirrored && ref != "" {
		return halves{first: ref}, nil
	}
	a, b, ok := strings.Cut(text, refPlus)
	h := halves{moraine.BlobRef(a), moraine.BlobRef(b)}
	if !ok || a == "" && b == "" || !h.inner() {
		return halves{}, moraine.Errorf(moraine.Invalid, "%q is not a reference to a mirrored blob", string(ref))
	}
	return h, nil
}

// inner reports whether the stores may call a blob by these names here.
func (h halves) inner() bool {
	for _, ref := range h {
		if strings.Contains(string(ref), refPlus) || strings.HasPrefix(string(ref), refPrefix) {
			return false
		}
	}
	return true
}

func (h halves) ref() moraine.BlobRef {
	return refPrefix + h[first] + refPlus + h[second]
}

// alone is the reference to one copy.
func (h halves) alone(i int) moraine.BlobRef {
	var one halves
	one[i] = h[i]
	return one.ref()
}

// Lacks reports which copies a reference does not name. One that no mirror made
// lacks the second copy, and perhaps its meaning.
func Lacks(ref moraine.BlobRef) (primary, second bool) {
	h, err := parse(ref)
	return err == nil && h[0] == "", err == nil && h[1] == ""
}

// Names reports whether a reference names the copy that part names alone. One that
// makes no sense may name anything.
func Names(ref, part moraine.BlobRef) bool {
	whole, err1 := parse(ref)
	half, err2 := parse(part)
	if err1 != nil || err2 != nil {
		return true
	}
	for i := range half {
		if half[i] != "" && half[i] == whole[i] {
			return true
		}
	}
	return false
}

// Split returns references to each copy that ref names, alone. What this
// package did not make is its own only part.
func (s *Store) Split(ref moraine.BlobRef) []moraine.BlobRef {
	h, err := parse(ref)
	if err != nil || s.sides[second] == nil {
		return []moraine.BlobRef{ref}
	}
	var parts []moraine.BlobRef
	for i := range h {
		if h[i] != "" {
			parts = append(parts, h.alone(i))
		}
	}
	return parts
}

// Join returns ref with the copies that part names in the place of its own, and
// what it named there before: "" for nothing.
func (s *Store) Join(ref, part moraine.BlobRef) (joined, replaced moraine.BlobRef) {
	whole, err1 := parse(ref)
	half, err2 := parse(part)
	if err1 != nil || err2 != nil || s.sides[second] == nil {
		return part, ref
	}
	joined = ref
	for i := range half {
		if half[i] == "" || half[i] == whole[i] {
			continue
		}
		if whole[i] != "" {
			replaced = whole.alone(i)
		}
		whole[i] = half[i]
		joined = whole.ref()
	}
	return joined, replaced
}
