package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

// Bounds of what is compared after a kill.
const (
	sampleCount = 40
	sampleBytes = 96 << 20
	// fullEvery is how many kills there are between comparisons of everything.
	fullEvery = 25
	// inventoryRoom is what must be free, besides what uploads leave, for the
	// inventories to be written, and roomMax how long that may take.
	inventoryRoom = 32 << 20
	roomMax       = 3 * time.Minute
)

// soak is one run.
type soak struct {
	o            options
	l            *ledger
	r            *rand.Rand
	binary, data string
	s            *moraineproc.Server

	began        time.Time
	kills, early int
	stops        int
	moved, bytes float64 // by compaction, over all lives of the server
	passes       int     // of scrub that ended
	packsMost    int
	packsLeft    int
	fsck         string
	slowest      time.Duration // start
}

// config is a server that scrubs and compacts all the time, and gives space back
// soon.
func (s *soak) config() moraineproc.Config {
	return moraineproc.Config{Binary: s.binary, Data: s.data, Args: []string{
		"--job-delay", "0s", "--inventory-interval", "0s", "--allow-short-retention",
		"--job-retention", "30s", "--upload-retention", "1m", "--audit-destination", "off",
		"--storage-compact-period", "8s", "--storage-compact-grace", "10s",
		"--storage-compact-dead-holes", "40", "--storage-compact-rate", "50MiB", "--scrub-rate", "60MiB",
	}}
}

// run loads, kills and checks until the time is over.
func (s *soak) run(ctx context.Context) error {
	s.began = time.Now()
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() { s.s.Kill() }()
	if err := s.setUp(ctx); err != nil {
		return err
	}
	for n := 1; time.Since(s.began) < s.o.duration && ctx.Err() == nil && s.l.whole(); n++ {
		if err := s.live(ctx); err != nil {
			return err
		}
		if err := s.start(ctx); err != nil {
			return err
		}
		if err := s.check(ctx, n%fullEvery == 0); err != nil {
			return err
		}
		s.line(n)
	}
	if ctx.Err() != nil {
		fmt.Println("interrupted: what follows is of a part of the run")
		ctx = context.WithoutCancel(ctx)
	}
	return s.end(ctx)
}

// end compares everything, waits for a scrub of everything and checks the store.
func (s *soak) end(ctx context.Context) error {
	if err := s.check(ctx, true); err != nil {
		return err
	}
	if err := s.scrub(ctx); err != nil {
		return err
	}
	s.harvest(ctx)
	if failed, _ := s.s.Metric(ctx, "moraine_scrub_failed"); failed != 0 {
		s.l.isWrong("scrub found %v damaged pieces", failed)
	}
	if err := s.s.Stop(ctx); err != nil {
		s.l.isWrong("stop: %v", err)
	}
	s.packsLeft = s.packs()
	out, code, err := moraineproc.Fsck(ctx, s.binary, s.data)
	s.fsck = strings.ReplaceAll(strings.TrimSpace(out), "\n", ", ")
	if err != nil || code != 0 {
		s.l.isWrong("fsck: exit %d, %v: %s", code, err, s.fsck)
	}
	return nil
}

func (s *soak) start(ctx context.Context) error {
	var err error
	if s.s, err = moraineproc.Start(ctx, s.config()); err != nil {
		return err
	}
	s.slowest = max(s.slowest, s.s.StartTook)
	return nil
}

func (s *soak) connect() *vaultclient.Client {
	return &vaultclient.Client{Addr: s.s.Addr, Credentials: &wire.Credentials{
		KeyID: moraineproc.KeyID, Secret: moraineproc.Secret, Region: moraineproc.Region,
	}}
}

func (s *soak) setUp(ctx context.Context) error {
	c := s.connect()
	defer c.Close()
	for _, vault := range allVaults() {
		if err := c.CreateVault(ctx, vault); err != nil {
			return err
		}
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"retain","Effect":"Deny","Principal":"*","Action":"glacier:DeleteArchive",`+
		`"Resource":"arn:aws:glacier:%s:%s:vaults/%s","Condition":{"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}}}]}`,
		moraineproc.Region, moraineproc.Account, retained)
	id, err := c.InitiateLock(ctx, retained, policy)
	if err != nil {
		return err
	}
	return c.CompleteLock(ctx, retained, id)
}

// live loads the server until it is killed, or now and then stopped.
func (s *soak) live(ctx context.Context) error {
	var kill atomic.Bool
	var wg sync.WaitGroup
	load, stop := context.WithCancel(context.WithoutCancel(ctx)) // an interruption ends the life, not a request
	defer stop()
	for i := range s.o.workers {
		w := &worker{l: s.l, c: s.connect(), r: rand.New(rand.NewPCG(s.r.Uint64(), 2)), kill: &kill, bulk: i%4 == 0}
		wg.Go(func() { w.run(load) })
	}
	wg.Go(func() { _ = s.startScrub(load) }) // a server that is killed first begins no pass
	life := time.Second + time.Duration(s.r.ExpFloat64()*float64(s.o.life))
	timer := time.NewTimer(min(life, 4*s.o.life))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.s.Done():
		s.l.isWrong("the server ended by itself:\n%s", s.s.Log())
	}
	s.harvest(context.WithoutCancel(ctx))
	kill.Store(true)
	if s.r.IntN(12) == 0 {
		s.stops++
		err := s.s.Stop(context.WithoutCancel(ctx))
		wg.Wait()
		return err
	}
	s.kills++
	s.s.Kill()
	wg.Wait()
	if s.r.IntN(4) > 0 {
		return nil
	}
	// A kill during the recovery, too.
	s.early++
	early, err := moraineproc.Launch(s.config())
	if err != nil {
		return err
	}
	soon := time.NewTimer(time.Duration(s.r.Int64N(int64(150 * time.Millisecond))))
	defer soon.Stop()
	select {
	case <-soon.C:
	case <-early.Done():
		s.l.isWrong("the server ended by itself:\n%s", early.Log())
	}
	early.Kill()
	return nil
}

// harvest adds up what the server counted in its life.
func (s *soak) harvest(ctx context.Context) {
	if v, ok := s.s.Metric(ctx, "moraine_compact_moved_blobs_total"); ok {
		s.moved += v
	}
	if v, ok := s.s.Metric(ctx, "moraine_compact_moved_bytes_total"); ok {
		s.bytes += v
	}
	s.packsMost = max(s.packsMost, s.packs())
}

// packs counts the files of packs.
func (s *soak) packs() (n int) {
	_ = filepath.WalkDir(filepath.Join(s.data, "packs"), func(path string, _ fs.DirEntry, _ error) error {
		if strings.HasSuffix(path, ".pack") {
			n++
		}
		return nil
	}) // files that go meanwhile are none
	return n
}

func (s *soak) startScrub(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.s.AdminAddr+"/scrub/start", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("scrub does not begin: %s", resp.Status)
	}
	return err
}

// scrub waits for the end of a pass that begins now or is under way.
func (s *soak) scrub(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	if err := s.startScrub(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if v, ok := s.s.Metric(ctx, "moraine_scrub_pass_started_seconds"); ok && v == 0 {
			s.passes++
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("scrub does not end: %w", ctx.Err())
		}
	}
}

// check compares the inventories with the ledger, and the bytes of some archives,
// or of all.
func (s *soak) check(ctx context.Context, all bool) error {
	if err := s.makeRoom(ctx); err != nil {
		return err
	}
	c := s.connect()
	defer c.Close()
	for _, vault := range allVaults() {
		inv, err := c.TakeInventory(ctx, vault)
		if err != nil {
			return fmt.Errorf("inventory of %s: %w", vault, err)
		}
		s.reconcile(vault, inv.ArchiveList)
	}
	if failed, ok := s.s.Metric(ctx, "moraine_scrub_failed"); ok && failed != 0 {
		s.l.isWrong("scrub found %v damaged pieces", failed)
	}
	return s.compare(ctx, s.choose(all))
}

// makeRoom deletes archives until there is space for inventories: on a full disk
// they wait.
func (s *soak) makeRoom(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roomMax)
	defer cancel()
	w := &worker{l: s.l, c: s.connect(), r: s.r, kill: new(atomic.Bool)}
	defer w.c.Close()
	wanted := s.o.disk/50 + inventoryRoom
	for given := int64(0); ; {
		free, ok := s.s.Metric(ctx, "moraine_disk_free_bytes")
		if ok && int64(free) > wanted {
			return nil
		}
		for at := s.l.liveBytes(); given < 2*inventoryRoom && at-s.l.liveBytes() < inventoryRoom; {
			if err := w.delete(ctx); err != nil {
				return err
			}
			given = max(given, at-s.l.liveBytes())
		}
		if err := w.rest(ctx); err != nil {
			return fmt.Errorf("the space of deleted archives does not come back: %v bytes are free: %w", free, err)
		}
	}
}

// reconcile compares an inventory with the ledger while nothing is under way.
// What had no answer is settled by it.
func (s *soak) reconcile(vault string, listed []vaultclient.InventoryArchive) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	there := make(map[string]bool, len(listed))
	for _, i := range listed {
		there[i.ArchiveId] = true
		a := l.archives[i.ArchiveId]
		if a == nil {
			if a = l.pending[i.ArchiveDescription]; a == nil {
				l.blame(&l.wrong, "WRONG: archive %s of %s is there: deleted before: %v", i.ArchiveId, vault, l.gone[i.ArchiveId])
				continue
			}
			delete(l.pending, a.description)
			l.enter(a, i.ArchiveId)
		}
		if a.size != i.Size || a.tree != i.SHA256TreeHash || a.vault != vault {
			l.blame(&l.wrong, "WRONG: the inventory says of archive %s: %d bytes, %s; want %d, %s", a.id, i.Size, i.SHA256TreeHash, a.size, a.tree)
		}
		if a.fate == unsure { // the deletion did not take effect
			delete(l.archives, a.id)
			l.enter(a, a.id)
		}
	}
	for id, a := range l.archives {
		if a.vault != vault || there[id] {
			continue
		}
		if a.fate == live {
			l.blame(&l.lost, "LOST: archive %s of %s is not in the inventory", id, vault)
		}
		l.drop(a)
	}
	for description, a := range l.pending {
		if a.vault == vault {
			delete(l.pending, description)
		}
	}
}

// choose returns the archives to compare: all, or some, those first that were
// compared least.
func (s *soak) choose(all bool) (chosen []*archive) {
	s.l.do(func() {
		for _, a := range s.l.archives {
			chosen = append(chosen, a)
		}
		slices.SortStableFunc(chosen, func(a, b *archive) int { return a.checked - b.checked })
	})
	if all {
		return chosen
	}
	size := int64(0)
	for n, a := range chosen {
		if size += a.size; n == sampleCount || size > sampleBytes {
			return chosen[:n]
		}
	}
	return chosen
}

// compare reads archives over some connections.
func (s *soak) compare(ctx context.Context, list []*archive) error {
	next := make(chan *archive)
	errs := make([]error, 4)
	var wg sync.WaitGroup
	var ended atomic.Bool
	for i := range errs {
		w := &worker{l: s.l, c: s.connect(), kill: &ended}
		wg.Go(func() {
			defer w.c.Close()
			for a := range next {
				if err := w.compare(ctx, a); err != nil && !errors.Is(err, errDifferent) && errs[i] == nil {
					errs[i] = fmt.Errorf("archive %s: %w", a.id, err)
				}
			}
		})
	}
	for _, a := range list {
		next <- a
	}
	close(next)
	wg.Wait()
	err := errors.Join(errs...)
	var no *vaultclient.Refused
	if errors.As(err, &no) {
		s.l.isLost("%v", err)
		return nil
	}
	return err
}

// line says how far the run has come.
func (s *soak) line(n int) {
	s.l.do(func() {
		fmt.Printf("%8s  life %d: kills %d, archives %d (%d MiB), acknowledged %d, compared %d, full %d, emptied %d, moved %.0f, packs %d, lost %d, wrong %d\n",
			time.Since(s.began).Round(time.Second), n, s.kills+s.early, len(s.l.archives), s.l.bytes>>20, s.l.acked, s.l.read, s.l.full, s.l.emptied, s.moved, s.packs(), s.l.lost, s.l.wrong)
	})
}

// print writes the table.
func (s *soak) print() {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operation\tsent\tacknowledged\trefused\twithout an answer\t")
	var names []string
	for name := range l.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	var sum count
	for _, name := range names {
		c := l.counts[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", name, c.sent, c.acknowledged, c.refused, c.unknown)
		sum.sent, sum.acknowledged, sum.refused, sum.unknown = sum.sent+c.sent, sum.acknowledged+c.acknowledged, sum.refused+c.refused, sum.unknown+c.unknown
	}
	fmt.Fprintf(w, "all\t%d\t%d\t%d\t%d\t\n", sum.sent, sum.acknowledged, sum.refused, sum.unknown)
	_ = w.Flush() // standard output
	fmt.Printf("time %s on a disk of %d MiB, seed %d\n", time.Since(s.began).Round(time.Second), s.o.disk>>20, s.o.seed)
	fmt.Printf("kills %d (%d of them during a start), stops %d, slowest start %v\n", s.kills+s.early, s.early, s.stops, s.slowest.Round(time.Millisecond))
	fmt.Printf("disk full %d times, emptied %d times\n", l.full, l.emptied)
	fmt.Printf("compaction moved at least %.0f blobs, %.0f MiB; packs at most %d, at the end %d\n", s.moved, s.bytes/(1<<20), s.packsMost, s.packsLeft)
	fmt.Printf("archives acknowledged %d, live at the end %d (%d MiB), comparisons of whole archives %d (%d MiB)\n",
		l.acked, len(l.archives), l.bytes>>20, l.read, l.readSize>>20)
	fmt.Printf("fsck: %s\n", s.fsck)
	fmt.Printf("lost %d, wrong %d\n", l.lost, l.wrong)
	for _, fault := range l.faults {
		fmt.Println(fault)
	}
}
