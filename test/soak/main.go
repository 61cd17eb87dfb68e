// Command soak runs a moraine server on a small disk that fills and empties,
// under a mixed load, and kills it (SIGKILL) at random moments, for as long as
// it is told. What was acknowledged must be there, byte for byte, and nothing
// else.
//
//	go run ./test/soak -duration 1h -disk 2GiB
//	go run ./test/soak -duration 10m -dir /mnt/small -disk 2GiB
//
// Without -dir it makes a file of that size with an ext4 file system and mounts
// it, which takes root. It knows the service from outside: the binary, its API and
// its metrics. The packs are scrubbed and compacted all the time.
//
// At the end it prints a table. The exit status is 0 only if nothing was lost and
// nothing was wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"moraine/test/internal/moraineproc"
)

// options are the command line.
type options struct {
	duration time.Duration
	disk     int64 // bytes
	dir      string
	workers  int
	life     time.Duration // mean time from a start to the kill
	seed     uint64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := options{disk: 2 << 30}
	flag.DurationVar(&o.duration, "duration", time.Hour, "how long the load goes on")
	flag.Func("disk", "size of the disk, as in 512MiB or 2GiB (default 2GiB)", func(s string) (err error) { o.disk, err = parseSize(s); return err })
	flag.StringVar(&o.dir, "dir", "", "an empty directory on a disk of that size; empty makes and mounts one")
	flag.IntVar(&o.workers, "workers", 8, "connections")
	flag.DurationVar(&o.life, "life", 25*time.Second, "mean time between kills")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of what is random; 0 takes one from the clock")
	flag.Parse()
	whole, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !whole {
		os.Exit(1)
	}
}

func parseSize(s string) (int64, error) {
	for suffix, unit := range map[string]int64{"GiB": 1 << 30, "MiB": 1 << 20} {
		if digits, ok := strings.CutSuffix(s, suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 32)
			if err != nil || n < 1 {
				break
			}
			return n * unit, nil
		}
	}
	return 0, fmt.Errorf("%q is not a size; write it as in 512MiB or 2GiB", s)
}

// run does everything and reports whether all of it was as it should be.
func run(ctx context.Context, o options) (whole bool, err error) {
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	dir, err := os.MkdirTemp("", "moraine-soak-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, err := moraineproc.Build(ctx, dir)
	if err != nil {
		return false, err
	}
	where := o.dir
	if where == "" {
		mounted, unmount, err := mount(ctx, dir, o.disk)
		if err != nil {
			return false, err
		}
		// Deferred after the removal of dir, so that it comes before.
		defer func() {
			if failed := unmount(); failed != nil {
				fmt.Fprintln(os.Stderr, "soak:", failed)
			}
		}()
		where = mounted
	}
	s := &soak{
		o: o, l: newLedger(o), r: rand.New(rand.NewPCG(o.seed, 1)),
		binary: binary, data: filepath.Join(where, "data"),
	}
	err = s.run(ctx)
	s.print()
	return err == nil && s.l.whole(), err
}
