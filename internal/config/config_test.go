package config_test

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"moraine"
	"moraine/internal/config"
	"moraine/internal/job"
)

// load reads settings from a command line, an environment and the text of a
// file, "" for none.
func load(t *testing.T, args, environ []string, text string) (config.Config, error) {
	t.Helper()
	src := config.Sources{Flags: pflag.NewFlagSet("test", pflag.ContinueOnError)}
	config.AddFlags(src.Flags)
	if err := src.Flags.Parse(args); err != nil {
		t.Fatalf("parse %q: %v", args, err)
	}
	src.Environ = func() []string { return environ }
	if text != "" {
		src.File = filepath.Join(t.TempDir(), "moraine.yaml")
		if err := os.WriteFile(src.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Load(src)
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := load(t, nil, []string{"HOME=/nowhere"}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Listen: "127.0.0.1:8080", Data: "./moraine-data",
		Meta: config.Meta{Readers: 8},
		Storage: config.Storage{MirrorAck: "both", MirrorRate: 100 << 20, Bucket: config.Bucket{Linger: 3 * time.Millisecond}, Compact: config.Compact{
			Period: 24 * time.Hour, Dead: 50, DeadHoles: 90, Rate: 20 << 20, Grace: 24 * time.Hour,
		}},
		Region: "us-east-1", Regions: []moraine.Region{"us-east-1"},
		DrainTimeout: 30 * time.Second,
		Log:          config.Log{Format: "text", Level: slog.LevelInfo},
		Admin:        config.Admin{Listen: "127.0.0.1:8081"},
		Clock:        config.Clock{MaxDowntime: 504 * time.Hour},
		Scrub:        config.Scrub{Period: 720 * time.Hour, Rate: 20 << 20},
		JobRetention: 24 * time.Hour, UploadRetention: 24 * time.Hour, OrphanGrace: 24 * time.Hour, FreeTier: 10 << 30,
		Notify: config.Notify{Retention: 720 * time.Hour},
		HTTP:   config.HTTP{MaxHeaderBytes: 64 << 10, ReadHeaderTimeout: 10 * time.Second, MinBodyRate: 1 << 10, MaxJSONBody: 1 << 20},
		Auth: config.Auth{
			MaxSkew: 5 * time.Minute, AdminMaxSkew: 15 * time.Minute, UnsignedAmzHeaders: "allow", Replay: "log",
			FailureLimit: config.RateLimit{PerSecond: 10, Burst: 100},
		},
		Audit: config.Audit{Destination: "file", Sync: "writes", FailClosed: true, Reserve: 16 << 20},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := "drain_timeout: 1s\njob:\n  delay: 1s\ninventory:\n  interval: 1s\n"
	environ := []string{"MORAINE_JOB_DELAY=2s", "MORAINE_INVENTORY_INTERVAL=2s"}
	got, err := load(t, []string{"--inventory-interval=3s"}, environ, file)
	if err != nil {
		t.Fatal(err)
	}
	if got.DrainTimeout != time.Second || got.JobDelay.Bulk != 2*time.Second || got.InventoryInterval != 3*time.Second {
		t.Errorf("file, variable, flag gave %s, %s, %s; want 1s, 2s, 3s", got.DrainTimeout, got.JobDelay.Bulk, got.InventoryInterval)
	}
}

func TestFileOfEveryForm(t *testing.T) {
	t.Parallel()
	got, err := load(t, nil, nil, `
regions: [eu-north-1, us-east-1]
account_id: "012345678901"
allow_short_retention: true
tls:
http:
  max_header_bytes: 65536
  max_json_body: 2MiB
job:
  delay: expedited=1m,bulk=5h
log: {level: debug, format: json}
`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]moraine.Region{"eu-north-1", "us-east-1"}, got.Regions); diff != "" {
		t.Errorf("regions (-want +got):\n%s", diff)
	}
	if got.Root.Account != "012345678901" || !got.AllowShortRetention || got.HTTP.MaxJSONBody != 2<<20 || got.Log.Level != slog.LevelDebug {
		t.Errorf("got %+v", got)
	}
	if want := (job.Delays{Expedited: time.Minute, Bulk: 5 * time.Hour}); got.JobDelay != want {
		t.Errorf("job.delay: got %v, want %v", got.JobDelay, want)
	}
}

func TestRegion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		args    []string
		environ []string
		want    []moraine.Region
	}{
		{"default region alone replaces the default list", nil, []string{"MORAINE_REGION=eu-west-1"}, []moraine.Region{"eu-west-1"}},
		{"default region joins a list", []string{"--regions=us-east-1,us-west-2"}, []string{"MORAINE_REGION=eu-west-1"}, []moraine.Region{"eu-west-1", "us-east-1", "us-west-2"}},
		{"default region leads the list", []string{"--regions=us-east-1, us-west-2", "--region=us-west-2"}, nil, []moraine.Region{"us-west-2", "us-east-1"}},
		{"the first of the list is the default region", []string{"--regions=us-west-2,us-east-1"}, nil, []moraine.Region{"us-west-2", "us-east-1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := load(t, tc.args, tc.environ, "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Regions); diff != "" || got.Region != tc.want[0] {
				t.Errorf("region %s of (-want +got):\n%s", got.Region, diff)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		args    []string
		environ []string
		file    string
		want    []string // all in the error
	}{
		{"ephemeral with a directory", []string{"--ephemeral", "--data=d"}, nil, "", []string{"ephemeral and data (d) exclude each other"}},
		{"ephemeral with the directory of a variable", []string{"--ephemeral"}, []string{"MORAINE_DATA=d"}, "", []string{"exclude each other"}},
		{"test mode without the admin listener", []string{"--test-mode", "--admin-listen="}, nil, "", []string{"test_mode is steered through admin.listen"}},
		{"unknown key", nil, nil, "listen: 127.0.0.1:1\nlisten_on: x\n", []string{"moraine.yaml", `"listen_on"`}},
		{"unknown key in a section", nil, nil, "tls:\n  certificate: x\n", []string{`"tls.certificate"`}},
		{"unknown empty section", nil, nil, "tsl:\n", []string{`"tsl"`}},
		{"unknown variable", nil, []string{"MORAINE_LISTN=x"}, "", []string{"MORAINE_LISTN"}},
		{"secret in the file", nil, nil, "root_secret_access_key: sesame\n", []string{"MORAINE_ROOT_SECRET_ACCESS_KEY", "environment"}},
		{"not YAML", nil, nil, "a: [", []string{"not YAML"}},
		{"a number where text is wanted", nil, nil, "regions: [1]\n", []string{"regions", "item 1"}},
		{"bad duration names its source", nil, []string{"MORAINE_DRAIN_TIMEOUT=30"}, "", []string{"MORAINE_DRAIN_TIMEOUT", `"30"`, "30s"}},
		{"negative duration", []string{"--job-delay=-1s"}, nil, "", []string{"--job-delay", "negative"}},
		{"unknown tier", []string{"--job-delay=standard=1s,turbo=1s"}, nil, "", []string{"--job-delay", "turbo", "expedited"}},
		{"tier twice", []string{"--job-delay=standard=1s,standard=2s"}, nil, "", []string{"once"}},
		{"bad size", []string{"--http-max-json-body=1MB"}, nil, "", []string{"--http-max-json-body", `"1MB"`, "MiB"}},
		{"bad truth", nil, []string{"MORAINE_ALLOW_PLAINTEXT=maybe"}, "", []string{"MORAINE_ALLOW_PLAINTEXT", "true"}},
		{"bad level", []string{"--log-level=loud"}, nil, "", []string{"--log-level", "loud", "debug"}},
		{"two faults", []string{"--log-level=loud", "--drain-timeout=x"}, nil, "", []string{"--log-level", "--drain-timeout"}},
		{"plain HTTP for everybody", []string{"--listen=0.0.0.0:8080"}, nil, "", []string{"0.0.0.0:8080", "tls.cert", "allow_plaintext"}},
		{"plain HTTP on all interfaces", []string{"--listen=:8080"}, nil, "", []string{"allow_plaintext"}},
		{"listen without port", []string{"--listen=127.0.0.1"}, nil, "", []string{"listen", "host:port"}},
		{"port too large", []string{"--listen=127.0.0.1:70000"}, nil, "", []string{"65535"}},
		{"remote admin", []string{"--admin-listen=10.0.0.1:9"}, nil, "", []string{"10.0.0.1:9", "allow_remote_admin"}},
		{"same address twice", []string{"--admin-listen=127.0.0.1:8080"}, nil, "", []string{"different ports"}},
		{"certificate without key", []string{"--tls-cert=a.pem"}, nil, "", []string{"tls.key"}},
		{"half a root key", nil, []string{"MORAINE_ROOT_ACCESS_KEY_ID=AKIAAAAAAAAAAAAAAAAA"}, "", []string{"MORAINE_ROOT_SECRET_ACCESS_KEY"}},
		{"bad account", []string{"--account-id=12"}, nil, "", []string{`"12"`, "twelve digits"}},
		{"no region", []string{"--regions="}, nil, "", []string{"region"}},
		{"bad region", []string{"--regions=Nord"}, nil, "", []string{`"Nord"`}},
		{"short retention", []string{"--job-retention=1h"}, nil, "", []string{"job.retention", "24h"}},
		{"no retention", []string{"--job-retention=0s", "--allow-short-retention"}, nil, "", []string{"zero"}},
		{"wide skew", []string{"--auth-max-skew=16m"}, nil, "", []string{"auth.max_skew", "15m"}},
		{"odd skew", []string{"--auth-max-skew=90s"}, nil, "", []string{"whole minutes"}},
		{"no downtime", []string{"--clock-max-downtime=59m"}, nil, "", []string{"clock.max_downtime", "1h"}},
		{"endless downtime", []string{"--clock-max-downtime=87601h"}, nil, "", []string{"--clock-max-downtime", "87600h"}},
		{"unknown choice", []string{"--auth-unsigned-amz-headers=perhaps"}, nil, "", []string{"perhaps", "tls-only"}},
		{"unknown answer to replays", []string{"--auth-replay=sometimes"}, nil, "", []string{"sometimes", "enforce"}},
		{"a huge reserve", []string{"--audit-reserve=17GiB"}, nil, "", []string{"audit.reserve is 17GiB", "16GiB"}},
		{"audit files for an hour", []string{"--audit-retention=1h"}, nil, "", []string{"audit.retention is 1h", "24h", "for ever"}},
		{"unknown log format", []string{"--log-format=xml"}, nil, "", []string{"xml", "json"}},
		{"short retention of messages", []string{"--notify-retention=59m"}, nil, "", []string{"notify.retention is 59m", "1h"}},
		{"no body rate", []string{"--http-min-body-rate=0"}, nil, "", []string{"http.min_body_rate"}},
		{"no free tier", []string{"--retrieval-free-tier=0"}, nil, "", []string{"retrieval.free_tier"}},
		{"a proxy by name", []string{"--server-trusted-proxies=127.0.0.1,proxy.example"}, nil, "", []string{"--server-trusted-proxies", "proxy.example", "10.0.0.0/8"}},
		{"a mapped network", []string{"--server-trusted-proxies=::ffff:10.0.0.0/104"}, nil, "", []string{"not a network"}},
		{"too many proxies", []string{"--server-trusted-proxies=" + strings.Repeat("127.0.0.1,", 101)}, nil, "", []string{"more than 100"}},
		{"a password in the URL", []string{"--meta=postgres://m:sesame@db/m"}, nil, "", []string{"there is a password in meta", "meta_file", "MORAINE_META_PASSWORD"}},
		{"a password behind the URL", nil, nil, "meta: postgres://m@db/m?password=sesame\n", []string{"there is a password in meta"}},
		{"another engine", []string{"--meta=mysql://m:sesame@db/m"}, nil, "", []string{"postgres://user@host"}},
		{"a broken URL", []string{"--meta=postgres://m:sesame@[db/m"}, nil, "", []string{"postgres://user@host"}},
		{"a database twice", []string{"--meta=postgres://db/m", "--meta-file=f"}, nil, "", []string{"meta and meta_file exclude"}},
		{"a password for nothing", nil, []string{"MORAINE_META_PASSWORD=sesame"}, "", []string{"meta_file"}},
		{"ephemeral with a database", []string{"--ephemeral", "--meta=postgres://db/m"}, nil, "", []string{"ephemeral and meta"}},
		{"no readers", []string{"--meta-readers=0"}, nil, "", []string{"--meta-readers", "1 to 1000"}},
		{"expedited", []string{"--retrieval-expedited-in-flight=some"}, nil, "", []string{"some", "unlimited"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tc.args, tc.environ, tc.file)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Sources{Environ: func() []string { return []string{"MORAINE_CONFIG=/nowhere/moraine.yaml"} }})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/moraine.yaml") {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--listen=0.0.0.0:8080", "--allow-plaintext"},
		{"--listen=:443", "--tls-cert=c", "--tls-key=k"},
		{"--listen=[::1]:8080"},
		{"--listen=localhost:0", "--admin-listen=localhost:0"},
		{"--admin-listen="},
		{"--ephemeral"},
		{"--ephemeral", "--data="},
		{"--ephemeral", "--test-mode"},
		{"--job-retention=1s", "--upload-retention=1s", "--allow-short-retention"},
		{"--audit-retention=24h", "--audit-reserve=0", "--audit-data-events", "--auth-replay=enforce"},
	} {
		if _, err := load(t, args, nil, ""); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// What Print writes must load as the same settings, but for the secrets.
func TestPrintLoadsAgain(t *testing.T) {
	t.Parallel()
	args := []string{
		"--listen=:443", "--tls-cert=a b.pem", "--tls-key=k", "--regions=a-1,b-2", "--account-id=012345678901", "--admin-listen=",
		"--job-delay=expedited=1m,standard=3h,bulk=5h", "--log-level=warn", "--http-max-json-body=1000000", "--auth-debug-signature",
		"--retrieval-free-tier=1GiB", "--retrieval-expedited-in-flight=0", "--server-trusted-proxies=10.1.2.3/8,2001:db8::7,::ffff:127.0.0.1",
	}
	want, err := load(t, args, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	text := want.Print()
	got, err := load(t, nil, nil, text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, text)
	}
	if line := "trusted_proxies: 10.0.0.0/8,2001:db8::7/128,127.0.0.1/32\n"; !strings.Contains(text, line) {
		t.Errorf("%s lacks %s", text, line)
	}
}

func TestPrintShowsNoSecret(t *testing.T) {
	t.Parallel()
	c, err := load(t, nil, []string{"MORAINE_ROOT_ACCESS_KEY_ID=AKIAEXAMPLEEXAMPLE", "MORAINE_ROOT_SECRET_ACCESS_KEY=open sesame, please"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Root.Secret) != "open sesame, please" {
		t.Errorf("the secret was not read")
	}
	if text := c.Print(); strings.Contains(text, "sesame") {
		t.Errorf("the secret is in\n%s", text)
	}
	// What is compared with the last start holds it, so that a change shows.
	if c.Values()["root_secret_access_key"] != "open sesame, please" || len(c.Values()) != len(config.Settings()) {
		t.Error("a setting is not among the values")
	}
}

// The manual and docs/operations.md name every setting with its default.
func TestDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := config.Manual()
	for _, s := range config.Settings() {
		def := "none"
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		name := "`" + s.Key + "`"
		if s.EnvOnly {
			name = "–"
		}
		row := "| " + name + " | `" + s.Env() + "` | " + def + " | "
		if !strings.Contains(string(doc), row) {
			t.Errorf("docs/operations.md lacks the row %s%s |", row, s.Doc)
		}
		if !strings.Contains(manual, s.Env()) || (!s.EnvOnly && !strings.Contains(manual, "--"+s.Flag()+",")) {
			t.Errorf("the manual lacks %s", s.Key)
		}
	}
}

// Whatever a setting accepts is printed in a form that means the same.
func FuzzSettings(f *testing.F) {
	f.Add("expedited=1m,standard=3h,bulk=5h", "64KiB", "24h", "us-east-1,eu-north-1")
	f.Add("5s", "1048576", "26h0m1s", "a")
	f.Fuzz(func(t *testing.T, delay, size, retention, regions string) {
		from := func(delay, size, retention, regions string) (config.Config, error) {
			environ := []string{
				"MORAINE_JOB_DELAY=" + delay, "MORAINE_HTTP_MAX_JSON_BODY=" + size,
				"MORAINE_JOB_RETENTION=" + retention, "MORAINE_REGIONS=" + regions,
			}
			return config.Load(config.Sources{Environ: func() []string { return environ }})
		}
		want, err := from(delay, size, retention, regions)
		if err != nil {
			return
		}
		printed, section := make(map[string]string), ""
		for line := range strings.Lines(want.Print()) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if !strings.HasPrefix(line, " ") {
				section = key
			}
			printed[section+"."+key] = strings.Trim(value, `" `)
		}
		got, err := from(printed["job.delay"], printed["http.max_json_body"], printed["job.retention"], printed["regions.regions"])
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

// An ephemeral server has no directory of its own choice, and both it and test
// mode are warned of.
func TestEphemeralAndTestMode(t *testing.T) {
	t.Parallel()
	want, err := load(t, []string{"--ephemeral", "--test-mode"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if want.Data != "" || !want.Ephemeral || !want.TestMode {
		t.Errorf("loaded %q, %v, %v", want.Data, want.Ephemeral, want.TestMode)
	}
	text := strings.Join(want.Warnings(), "\n")
	for _, word := range []string{"TEST MODE", "removed at exit"} {
		if !strings.Contains(text, word) {
			t.Errorf("the warnings lack %q: %s", word, text)
		}
	}
	got, err := load(t, nil, nil, want.Print())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("printed and loaded: %v (-want +got):\n%s", err, diff)
	}
}

// TestHouse loads settings of servers that share a house for who looks at its
// stores alone: what the servers must have in common may be left out.
func TestHouse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "moraine.yaml")
	if err := os.WriteFile(file, []byte("data: d\nmeta: postgres://db/moraine\nblobs: s3://bucket/prefix\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(config.Sources{File: file}); err == nil || !strings.Contains(err.Error(), "MORAINE_ROOT_ACCESS_KEY_ID") {
		t.Errorf("without what servers must share: %v", err)
	}
	if _, err := config.Load(config.Sources{File: file, House: true}); err != nil {
		t.Errorf("by who serves nobody: %v", err)
	}
	if err := os.WriteFile(file, []byte("data: d\nmeta: nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(config.Sources{File: file, House: true}); err == nil {
		t.Error("nonsense is accepted")
	}
}
