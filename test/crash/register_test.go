package crash_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
)

// register is something that a write replaces as a whole: a policy, a set of
// tags, the state of a lock. It is told as a text, "" for none, and has one
// writer at a time.
type register struct {
	acked string   // must be there
	maybe []string // or one of these, whose writes were in flight at a kill
	busy  bool     // claimed by a worker, or left in flight by one
}

// claim takes a register for one operation; the lock of the ledger is held.
func (g *register) claim() bool {
	free := !g.busy
	g.busy = true
	return free
}

// settle compares what is read back after a restart with what may be there, and
// is certain of it from then on. It returns a fault, "" for none.
func (g *register) settle(found string) string {
	legal := append([]string{g.acked}, g.maybe...)
	word := lost
	if len(g.maybe) > 0 {
		word = half
	}
	*g = register{acked: found}
	if slices.Contains(legal, found) {
		return ""
	}
	return fmt.Sprintf("%s: it reads %q, want one of %q:", word, found, legal)
}

// The words faults of a kind begin with.
const (
	lost = "LOST" // something acknowledged is not there
	half = "HALF" // neither the old nor the new
)

// write sends a write of a claimed register. Of an answer that did not come the
// next restart decides.
func (w *worker) write(ctx context.Context, op string, g *register, c change) error {
	w.l.do(func() { g.maybe = append(g.maybe, c.text) })
	err := c.send(ctx)
	if err == nil {
		w.l.do(func() { *g = register{acked: c.text} })
	}
	return w.settle(op, err)
}

// change is the next text of a register and the request that gets there.
type change struct {
	text string
	send func(ctx context.Context) error
}

// absent turns the refusal that there is no such thing into "".
func absent(text string, err error) (string, error) {
	if vaultclient.IsRefused(err, "ResourceNotFoundException") || vaultclient.IsRefused(err, "NoSuchEntity") {
		return "", nil
	}
	return text, err
}

func arn(vault string) string {
	return "arn:aws:glacier:" + moraineproc.Region + ":" + moraineproc.Account + ":vaults/" + vault
}

// statement is one statement of a policy. The last condition always holds, and
// makes the text unlike any other.
func statement(n uint64, sid, effect, principal, action, resource, condition string) string {
	if principal != "" {
		principal = `"Principal":"` + principal + `",`
	}
	if condition != "" {
		condition += ","
	}
	return fmt.Sprintf(`{"Sid":"%s","Effect":"%s",%s"Action":"glacier:%s","Resource":"%s",`+
		`"Condition":{%s"StringNotEquals":{"aws:UserAgent":"%d é \u2603\/\\\""}}}`, sid, effect, principal, action, resource, condition, n)
}

// policyText is a policy of statements, with white space of every kind between its
// tokens: a text that is not kept byte for byte shows.
func policyText(r *rand.Rand, statements ...string) string {
	text := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	blanks := []string{"", "", "", " ", "\n", "\t", "\r\n  "}
	var b strings.Builder
	quoted := false
	for i := range len(text) {
		b.WriteByte(text[i])
		switch c := text[i]; {
		case c == '"' && text[i-1] != '\\':
			quoted = !quoted
		case !quoted && strings.IndexByte("{}[]:,", c) >= 0:
			b.WriteString(blanks[r.IntN(len(blanks))])
		}
	}
	return b.String()
}
