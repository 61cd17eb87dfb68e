package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// genesis is the hash before the first record.
//
// format: never change
var genesis = strings.Repeat("0", hex.EncodedLen(sha256.Size))

// link is where a record stands in the chain.
type link struct {
	seq        int64
	prev, hash string // hex
}

// hashOf is the hash of a record: SHA-256 of the hash before it, its number and
// its canonical text, each but the last with a newline.
//
// format: never change
func hashOf(prev string, seq int64, canonical []byte) string {
	h := sha256.New()
	h.Write([]byte(prev))
	h.Write([]byte("\n" + strconv.FormatInt(seq, 10) + "\n"))
	h.Write(canonical)
	return hex.EncodeToString(h.Sum(nil))
}

// appendLine adds the line of a canonical record to to. The canonical text is
// a JSON object; its last brace makes room for the member moraine.
//
// format: never change
func appendLine(to, canonical []byte, l link) []byte {
	to = append(to, canonical[:len(canonical)-1]...)
	to = append(to, `,"moraine":{"seq":`...)
	to = strconv.AppendInt(to, l.seq, 10)
	to = append(to, `,"prevHash":"`...)
	to = append(to, l.prev...)
	to = append(to, `","hash":"`...)
	to = append(to, l.hash...)
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
	l := link{seq, string(tail[at[4]:at[5]]), string(tail[at[6]:at[7]])}
	canonical := append(bytes.Clone(line[:len(line)-len(tail)+at[0]]), '}')
	if hashOf(l.prev, l.seq, canonical) != l.hash {
		return l, errHash
	}
	return l, nil
}
