package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// digest is a SHA-256 as small hex digits.
type digest [2 * sha256.Size]byte

func (d digest) String() string { return string(d[:]) }

// genesis is the hash before the first line of a chain.
//
// format: never change
var genesis = digest([]byte(strings.Repeat("0", len(digest{}))))

// link is where a line stands in its chain.
type link struct {
	seq        int64
	prev, hash digest
}

// headroom is the space that a text to be hashed leaves in front of itself: for
// the hash before it, its number and two newlines.
const headroom = len(digest{}) + 1 + 19 + 1

// follow returns the link of a canonical text that comes after l. The text
// begins after headroom bytes of b, which are overwritten.
func (l *link) follow(b []byte) link {
	next := link{seq: l.seq + 1, prev: l.hash}
	next.hash = hashOf(&next, b)
	return next
}

// hashOf is the hash of a line: SHA-256 of the hash before it, its number and
// its canonical text, each but the last with a newline. The text begins after
// headroom bytes of b, which are overwritten, so that all is hashed at once.
//
// format: never change
func hashOf(l *link, b []byte) digest {
	var number [19]byte
	digits := strconv.AppendInt(number[:0], l.seq, 10)
	start := headroom - len(l.prev) - 1 - len(digits) - 1
	head := append(b[start:start], l.prev[:]...)
	head = append(head, '\n')
	head = append(head, digits...)
	_ = append(head, '\n')
	sum := sha256.Sum256(b[start:])
	var d digest
	hex.Encode(d[:], sum[:])
	return d
}

// appendLine adds the line of a canonical text to to. The text is a JSON
// object; its last brace makes room for the member moraine.
//
// format: never change
func appendLine(to, canonical []byte, l *link) []byte {
	to = append(to, canonical[:len(canonical)-1]...)
	to = append(to, `,"moraine":{"seq":`...)
	to = strconv.AppendInt(to, l.seq, 10)
	to = append(to, `,"prevHash":"`...)
	to = append(to, l.prev[:]...)
	to = append(to, `","hash":"`...)
	to = append(to, l.hash[:]...)
	return append(to, "\"}}\n"...)
}

// memberSize bounds the text of the member moraine.
const memberSize = 256

var member = regexp.MustCompile(`,"moraine":\{"seq":([1-9][0-9]{0,18}),"prevHash":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\}$`)

var (
	errForm = errors.New("it does not end in the member moraine")
	errHash = errors.New("its hash does not fit its text")
)

// parseLine returns the link of a line without its newline, and an error if
// the line is not what was written.
func parseLine(line []byte) (link, error) {
	tail := line[max(0, len(line)-memberSize):]
	at := member.FindSubmatchIndex(tail)
	if at == nil {
		return link{}, errForm
	}
	seq, err := strconv.ParseInt(string(tail[at[2]:at[3]]), 10, 64)
	if err != nil {
		return link{}, errForm
	}
	l := link{seq, digest(tail[at[4]:at[5]]), digest(tail[at[6]:at[7]])}
	canonical := line[:len(line)-len(tail)+at[0]]
	b := make([]byte, headroom, headroom+len(canonical)+1)
	b = append(append(b, canonical...), '}')
	if hashOf(&l, b) != l.hash {
		return l, errHash
	}
	return l, nil
}
