package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moraine"
	"moraine/internal/server"
)

const simulateManual = `Answer from a data directory that no server is using whether a principal may do
something to a vault, now or at a later time, and which statements say so. The
policies, tags and locks are those of today; only the clock is another:

  moraine policy simulate --principal arn:aws:iam::111111111111:user/bob \
    --action glacier:DeleteArchive --vault photos --archive ID --at 2027-01-01T00:00:00Z

--age supposes an archive that is that many days old at the time of the request.
--tag supposes that the vault has the tag, or, if the action is AddTagsToVault or
RemoveTagsFromVault, is a tag of the request. A role stands for a session of it
without session policies. Requests come by TLS, from no address and without
headers, unless --source-ip and --plain-http say otherwise.

Only permission is decided: a request that is allowed can still fail, as deleting
a vault does that is not empty.

Exit status: 0 allowed, 1 denied, 2 there is no answer.`

func newSimulate(e *env) *cobra.Command {
	var (
		q           server.Simulation
		archive, at string
		tags        []string
		asJSON      bool
		flagAge     = "age"
	)
	cmd := &cobra.Command{
		Use: "simulate --principal ARN --action ACTION --vault NAME", Short: "Say who may do what to a vault, and why, now or later",
		Long: simulateManual, Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	file := f.String("config", "", "YAML file with settings, for data and region")
	f.String("data", "./moraine-data", "data directory")
	f.String("region", "us-east-1", "region of the vault")
	f.StringVar(&q.Principal, "principal", "", "ARN of a root, a user, a role or a session of a role")
	f.StringVar(&q.Action, "action", "", "as in glacier:DeleteArchive")
	f.StringVar(&q.Account, "account", "", "account that owns the vault; without it, the principal's")
	f.StringVar(&q.Vault, "vault", "", "name of the vault")
	f.StringVar(&archive, "archive", "", "id of an archive of the vault")
	f.Int64Var(&q.AgeDays, flagAge, 0, "days: suppose an archive of that age")
	f.StringVar(&at, "at", "", "time of the request, as in 2027-01-01T00:00:00Z; without it, now")
	f.StringArrayVar(&tags, "tag", nil, "key=value; may be given several times")
	f.StringVar(&q.SourceIP, "source-ip", "", "address the request comes from")
	f.BoolVar(&q.Plain, "plain-http", false, "the request comes without TLS")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	must(cmd.MarkFlagRequired("principal"))
	must(cmd.MarkFlagRequired("action"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		q.Meta = cfg.Meta
		q.Data, q.Region, q.MaxDowntime, q.Log = cfg.Data, cfg.Region, cfg.Clock.MaxDowntime, newLog(e, cfg.Log)
		q.Archive, q.HasAge = moraine.ArchiveID(archive), cmd.Flags().Changed(flagAge)
		if q.At, err = parseTime(at); err != nil {
			return &exit{exitUsage, err}
		}
		if q.Tags, err = parseTags(tags); err != nil {
			return &exit{exitUsage, err}
		}
		answer, err := q.Run(cmd.Context())
		if err != nil {
			return &exit{exitUsage, fmt.Errorf("there is no answer: %w", err)}
		}
		if err := printAnswer(e.stdout, &answer, asJSON); err != nil {
			return err
		}
		if !answer.Allowed {
			return &exit{exitFailed, nil}
		}
		return nil
	}
	return cmd
}

// parseTime reads a time, zero for "".
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("--at: %q is not a time; write it as in 2027-01-01T00:00:00Z", text)
	}
	return at, nil
}

func parseTags(list []string) ([]moraine.Tag, error) {
	var tags []moraine.Tag
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		tag := moraine.Tag{Key: key, Value: value}
		if !ok || !moraine.ValidTagKey(key) || !moraine.ValidTagValue(value) {
			return nil, fmt.Errorf("--tag: %q is not a tag; write it as in key=value", text)
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

// printAnswer prints what was decided and why.
func printAnswer(w io.Writer, a *server.Simulated, asJSON bool) error {
	if asJSON {
		return printJSON(w, a)
	}
	var b strings.Builder
	decision := "denied"
	if a.Allowed {
		decision = "allowed"
	}
	fmt.Fprintf(&b, "%s: %s\n", decision, a.Reason)
	fmt.Fprintf(&b, "principal: %s\naction: %s\nresource: %s\nat: %s\n", a.Principal, a.Action, a.Resource, a.At.Format(time.RFC3339))
	if a.AgeDays != nil {
		fmt.Fprintf(&b, "archive age: %d days\n", *a.AgeDays)
	}
	if a.Lock != "" {
		fmt.Fprintf(&b, "lock: %s\n", a.Lock)
	}
	for i := range a.Statements {
		fmt.Fprintf(&b, "%s\n", describeStatement(&a.Statements[i]))
	}
	if a.Message != "" {
		fmt.Fprintf(&b, "message: %s\n", a.Message)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// describeStatement names a statement the way people count: from one.
func describeStatement(s *server.SimulatedStatement) string {
	if s.Index < 0 {
		return fmt.Sprintf("statement: Deny, for the policy %s does not parse", s.Policy)
	}
	sid := ""
	if s.Sid != "" {
		sid = fmt.Sprintf(" %q", s.Sid)
	}
	where := s.Kind
	if s.Policy != s.Kind {
		where += " policy " + s.Policy
	}
	return fmt.Sprintf("statement: %s%s, number %d of %s", s.Effect, sid, s.Index+1, where)
}
