// Command bench loads a moraine server and prints tables: small uploads,
// a large multipart upload and its download, parts of a GiB at once, and a
// vault of a million archives. It starts the server on a directory of its own,
// or uses one that is already running.
//
//	go run ./test/bench                             small uploads, a minute or two
//	go run ./test/bench -run small,large,parts      several scenarios
//	go run ./test/bench -run archives -archives 1000000
//	go run ./test/bench -endpoint host:port -key … -secret … -region …
//	go run ./test/bench -compare                    side by side with other servers
//	go run ./test/bench -compare -run small -rounds 5 -sizes 4096 -conns 64
//
// Bodies are cut from one random buffer and hashed before the clock starts;
// the client speaks over raw connections and keeps its signing key, so that
// most of the processor is left to the server even on the same machine.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

// options are the command line.
type options struct {
	run        []string
	data       string
	keep       bool
	endpoint   string
	key        string
	secret     string
	region     string
	duration   time.Duration
	sizes      []int64
	conns      []int
	largeMiB   int64
	archives   int
	verify     bool
	compare    bool
	rounds     int
	peers      []string
	profiles   string
	discard    bool
	serverArgs []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o, err := parse()
	switch {
	case err != nil:
	case o.compare:
		err = compare(ctx, o)
	default:
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	o := options{sizes: []int64{4 << 10, 64 << 10, 1 << 20}, conns: []int{1, 16, 64}}
	scenarios := flag.String("run", "", "scenarios, separated by commas: small, large, parts, archives; empty means small, or with -compare small, large, archives")
	flag.StringVar(&o.data, "data", "", "data directory of the server, with -compare the directory for those of all; empty means one under the temporary directory")
	flag.BoolVar(&o.keep, "keep", false, "keep a data directory that was made here")
	flag.StringVar(&o.endpoint, "endpoint", "", "host:port of a running server; empty starts one")
	flag.StringVar(&o.key, "key", moraineproc.KeyID, "access key id for -endpoint")
	flag.StringVar(&o.secret, "secret", moraineproc.Secret, "secret access key for -endpoint")
	flag.StringVar(&o.region, "region", moraineproc.Region, "region for -endpoint")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "measured time of one cell of small")
	flag.Func("sizes", "archive sizes of small in bytes, separated by commas", ints(&o.sizes))
	flag.Func("conns", "numbers of connections of small, separated by commas", ints(&o.conns))
	flag.Int64Var(&o.largeMiB, "large-mib", 4096, "size of the archive of large, in MiB, a multiple of 16")
	flag.IntVar(&o.archives, "archives", 0, "number of archives of archives; 0 means a million, with -compare a hundred thousand")
	flag.BoolVar(&o.verify, "verify", false, "hash what is downloaded; costs the client processor time")
	flag.BoolVar(&o.compare, "compare", false, "measure moraine and its peers in turn and print ratios")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of -compare; medians are printed")
	peers := flag.String("peers", "versitygw,bare,moto", "peers of -compare, separated by commas")
	flag.BoolVar(&o.discard, "discard", false, "let -compare drop what it downloads in the kernel, as if it went to another machine")
	flag.StringVar(&o.profiles, "profiles", "", "directory for CPU and allocation profiles and counts of system calls of moraine under the loads of -compare")
	flag.Parse()
	o.run = strings.Split(cmp.Or(*scenarios, defaults[o.compare].run), ",")
	o.archives = cmp.Or(o.archives, defaults[o.compare].archives)
	o.peers = strings.FieldsFunc(*peers, func(r rune) bool { return r == ',' })
	o.serverArgs = flag.Args()
	for _, name := range o.run {
		if scenario[name] == nil {
			return o, fmt.Errorf("no scenario %q", name)
		}
	}
	if o.rounds <= 0 {
		return o, errors.New("-rounds must be positive")
	}
	if o.largeMiB <= 0 || o.largeMiB%16 != 0 {
		return o, errors.New("-large-mib must be a positive multiple of 16")
	}
	return o, nil
}

// defaults of flags that depend on -compare.
var defaults = map[bool]struct {
	run      string
	archives int
}{
	false: {"small", 1_000_000},
	true:  {"small,large,archives", 100_000},
}

// ints makes a flag of a list of numbers.
func ints[T int | int64](into *[]T) func(string) error {
	return func(s string) error {
		*into = nil
		for word := range strings.SplitSeq(s, ",") {
			var n T
			if _, err := fmt.Sscan(word, &n); err != nil || n <= 0 {
				return fmt.Errorf("%q is not a positive number", word)
			}
			*into = append(*into, n)
		}
		return nil
	}
}

// bench is one run: a server and what the scenarios need to load it.
type bench struct {
	options
	server *moraineproc.Server // nil with -endpoint
	config moraineproc.Config
	addr   string
	creds  *wire.Credentials
	base   []byte // random bytes all bodies are cut from; never written
}

// scenario maps names to what they do.
var scenario = map[string]func(*bench, context.Context) error{
	"small": (*bench).small, "large": (*bench).large, "parts": (*bench).parts, "archives": (*bench).million,
}

func run(ctx context.Context, o options) (err error) {
	b := &bench{options: o, addr: o.endpoint, base: randomBuffer(16 << 20)}
	b.creds = &wire.Credentials{KeyID: o.key, Secret: o.secret, Region: o.region}
	if o.endpoint == "" {
		cleanup, err := b.startServer(ctx)
		if err != nil {
			return err
		}
		defer cleanup()
	}
	fmt.Printf("%s %s/%s, %d processors, %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), b.addr)
	for _, name := range slices.Compact(o.run) {
		fmt.Printf("\n== %s\n", name)
		if err := scenario[name](b, ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if b.server != nil {
		began := time.Now()
		if err := b.server.Stop(ctx); err != nil {
			return err
		}
		fmt.Printf("\nserver drained in %v\n", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// startServer builds and starts a server; cleanup ends it and removes what was
// made here.
func (b *bench) startServer(ctx context.Context) (cleanup func(), err error) {
	dir, err := os.MkdirTemp("", "moraine-bench-")
	if err != nil {
		return nil, err
	}
	cleanup = func() {
		if b.server != nil {
			b.server.Kill()
		}
		if b.keep {
			fmt.Println("kept", dir)
			return
		}
		_ = os.RemoveAll(dir) // a temporary directory
	}
	binary, err := moraineproc.Build(ctx, dir)
	if err == nil {
		data := b.data
		if data == "" {
			data = filepath.Join(dir, "data")
		}
		args := append([]string{"--job-delay", "0s", "--inventory-interval", "0s"}, b.serverArgs...)
		b.config = moraineproc.Config{Binary: binary, Data: data, Args: args}
		b.server, err = moraineproc.Start(ctx, b.config)
	}
	if err != nil {
		cleanup()
		return nil, err
	}
	b.addr = b.server.Addr
	return cleanup, nil
}

func (b *bench) client() *vaultclient.Client {
	return &vaultclient.Client{Addr: b.addr, Credentials: b.creds, Limit: 10 * time.Minute}
}

// vault makes a vault of its own for a scenario.
func (b *bench) vault(ctx context.Context, scenario string) (string, error) {
	c := b.client()
	defer c.Close()
	name := fmt.Sprintf("bench-%s-%d", scenario, time.Now().UnixMilli())
	return name, c.CreateVault(ctx, name)
}
