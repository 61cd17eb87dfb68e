package move

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gateway "moraine/internal/gatewaytest"
	"moraine/test/internal/moraineproc"
)

var (
	seedFlag = flag.Uint64("seed", 1, "seed of the history and of the kills; 0 for another one each time")
	archives = flag.Int("archives", 10, "archives at the beginning")
	kills    = flag.Int("kills", 1, "kills while the old house is served, and at least so many at the end of a move")
	rounds   = flag.Int("rounds", 1, "moves there and back")
)

var binary, storeBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(moraineproc.Main(m.Run, &binary, func(ctx context.Context) (err error) {
		storeBinary, err = gateway.Build(ctx)
		return err
	}))
}

// Words in the traffic to PostgreSQL by which the end of a move is known: the
// state that the house there is given.
const (
	wordLeft = "Left"
	wordHome = "Home"
)

// journey is a history and the figures of its moves.
type journey struct {
	*history
	moves, copies, ends, compared int // moves, kills of copies and of ends, archives compared
}

// TestMove is the proof.
func TestMove(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for name, encrypted := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			w := newWorld(t, encrypted)
			at := w.build(false)
			s := at.serve()
			j := &journey{history: w.fill(s, rand.New(rand.NewPCG(seed, 7)), *archives)}
			for round := range *rounds {
				there := w.build(true)
				s = j.move(s, at, there)
				at = there
				if encrypted && round == *rounds-1 {
					break // what is encrypted moves as it is: once is enough
				}
				at = w.build(false)
				s = j.move(s, there, at)
			}
			at.stop(s)
			t.Logf("%d moves, %d kills while bytes were copied and %d at the end; %d archives retrieved and compared, lost 0", j.moves, j.copies, j.ends, j.compared)
		})
	}
}

// move moves from a house that is served to a new one, and serves that.
func (j *journey) move(s *moraineproc.Server, from, to *house) *moraineproc.Server {
	j.Helper()
	if to.shared {
		o := j.moraine(migrating(from, to, "--bytes-only", "--admin-listen", s.AdminAddr)...)
		if o.status == 0 || !strings.Contains(o.stderr.String(), "copy "+from.dir) {
			j.Errorf("a move without the master key: %d %s", o.status, o.stderr.String())
		}
		j.bringMaster(from, to)
	}
	for range *kills {
		s = j.copyKilled(s, from, to)
	}
	// Once through, with nobody killed.
	r := j.copy(s, from, to)
	if r.Done || r.Copied+r.Present != r.Blobs || r.Damaged != 0 {
		j.Errorf("copied while served: %+v", r)
	}
	to.refuses("end the move with `moraine migrate` first")
	if o := to.look("fsck"); o.status != 2 || !strings.Contains(o.stderr.String(), "is being moved into") {
		j.Errorf("fsck of half a house: %d %s", o.status, o.stderr.String())
	}
	c := client(s)
	defer c.Close()
	_, err := j.store(j.Context(), c, vaults[0], 8<<20)
	j.must("a late upload", err)
	j.must("a late deletion", j.remove(j.Context(), c))
	j.last(s)
	want := j.look(s)
	j.known(want)
	if from.shared {
		j.neighbour(from, to)
	}
	from.stop(s)
	messages := from.outbox()

	want = j.end(from, to, want)
	j.moves++
	from.refuses("moved to " + to.dir)
	if o := j.moraine(migrating(from, to)...); o.status == 0 || !strings.Contains(o.stderr.String(), "has moved to") {
		j.Errorf("moved twice: %d %s", o.status, o.stderr.String())
	}
	to.whole(true)
	from.whole(false)
	if got := to.outbox(); got != messages || got == "" {
		j.Errorf("messages of the old house:\n%s\nof the new one:\n%s", messages, got)
	}
	s = to.serve()
	j.same(s, want)
	j.settled(s)
	j.compared += j.readAll(s, want)
	return s
}

// bringMaster does what the operator of servers that share a house has to do:
// give them the master key.
func (j *journey) bringMaster(from, to *house) {
	j.Helper()
	text, err := os.ReadFile(filepath.Join(from.dir, "master.key"))
	if err == nil {
		err = os.WriteFile(to.master(), text, 0o600)
	}
	if err != nil {
		j.Fatal(err)
	}
}

// neighbour tries to end the move of a house from the directory of a server that
// was stopped, while another one, which shares the house, goes on.
func (j *journey) neighbour(from, to *house) {
	j.Helper()
	next := *from
	next.dir = from.dir + "-neighbour"
	next.file = j.write(filepath.Base(next.dir)+".yaml", strings.Replace(from.text, "data: "+from.dir, "data: "+next.dir, 1))
	next.stop(next.serve())
	o := j.moraine(migrating(&next, to)...)
	if o.status == 0 || !strings.Contains(o.stderr.String(), "in use by") {
		j.Errorf("%s moves although it is in use: %d %s", from.name, o.status, o.stderr.String())
	}
}

// copy has a served house copy its bytes. The server may have to notice first that
// who asked it before was killed.
func (j *journey) copy(s *moraineproc.Server, from, to *house) reply {
	j.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(commandMax); ; <-tick.C {
		o := j.moraine(migrating(from, to, "--bytes-only", "--admin-listen", s.AdminAddr)...)
		if !strings.Contains(o.stderr.String(), "being moved already") || time.Now().After(limit) {
			return o.reply(j)
		}
	}
}

// copyKilled has a served house copy its bytes, while clients store and delete,
// and kills the server or the command that asked it. The server is returned, or
// the next one.
func (j *journey) copyKilled(s *moraineproc.Server, from, to *house) *moraineproc.Server {
	j.Helper()
	cmd, o := j.command(migrating(from, to, "--bytes-only", "--admin-listen", s.AdminAddr)...)
	if err := cmd.Start(); err != nil {
		j.Fatal(err)
	}
	victim := s.PID()
	serverDies := j.intN(3) > 0
	if !serverDies {
		victim = cmd.Process.Pid
	}
	ctx, cancel := context.WithCancel(j.Context())
	defer cancel()
	var clients sync.WaitGroup
	clients.Go(func() { j.during(ctx, s) })
	j.fuse.light(j.budget(), "", 0, func() bool { kill(victim); return serverDies })
	j.finish(cmd, o)
	blown := j.fuse.douse()
	cancel()
	clients.Wait()
	if !blown {
		return s // it was over before
	}
	j.copies++
	if !serverDies {
		return s
	}
	s.Kill() // it is dead, and this waits for its end
	return from.serve()
}

// budget is how many bytes pass before a kill: any order of magnitude is as
// likely as another.
func (j *journey) budget() int64 {
	return int64(1000+j.intN(1000)) << j.intN(13)
}

func kill(pid int) {
	_ = syscall.Kill(pid, syscall.SIGKILL) // unless it has ended
}

// end ends a move whose old house nobody serves, with kills, and returns how the
// old house looked at last.
func (j *journey) end(from, to *house, want picture) picture {
	j.Helper()
	// What is sent to PostgreSQL when the house there, be it the new one or the
	// old one, changes its state. In the first case the kill comes before that.
	word, after := wordHome, 0
	if to.shared == from.shared {
		j.Fatal("a move within one engine has no such word")
	}
	if from.shared {
		word, after = wordLeft, j.intN(4)
	}
	for attempt := range *kills + 2 {
		cmd, o := j.command(migrating(from, to)...)
		if err := cmd.Start(); err != nil {
			j.Fatal(err)
		}
		// The last kill comes at the word; those before it not later.
		if attempt <= *kills {
			var most int64
			if attempt < *kills {
				most = j.budget()
			}
			j.fuse.light(most, word, after, func() bool { kill(cmd.Process.Pid); return true })
		}
		j.finish(cmd, o)
		if !j.fuse.douse() {
			if r := o.reply(j); !r.Done || r.Rows["archives"] == 0 || r.Damaged != 0 {
				j.Fatalf("the move is over with %+v", r)
			}
			return want
		}
		j.ends++
		if attempt != *kills-1 && attempt != *kills {
			continue
		}
		var over bool
		if want, over = j.oneAtMost(from, to, want, attempt == *kills && word == wordHome); over {
			return want
		}
	}
	j.Fatal("a move has no end")
	return want
}

// oneAtMost tries to serve both houses after a kill. If the old one is served it
// takes one archive more. It reports whether the new one is.
func (j *journey) oneAtMost(from, to *house, want picture, neither bool) (picture, bool) {
	j.Helper()
	s, said := from.opens()
	if s == nil {
		if !strings.Contains(said, "moved to "+to.dir) {
			j.Fatalf("%s: %s", from.name, said)
		}
		if neither {
			to.refuses("end the move with `moraine migrate` first")
			return want, false
		}
		next, _ := to.opens()
		if next != nil {
			to.stop(next)
		}
		return want, next != nil
	}
	if neither {
		j.Errorf("%s is served after it was left", from.name)
	}
	to.refuses("end the move with `moraine migrate` first")
	c := client(s)
	defer c.Close()
	_, err := j.store(j.Context(), c, vaults[1], 8<<20)
	j.must("an upload between two attempts", err)
	want = j.look(s)
	from.stop(s)
	return want, false
}
