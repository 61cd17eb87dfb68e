package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/clock"
	"moraine/internal/config"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Simulation asks whether somebody may do something to a vault, now or later.
type Simulation struct {
	Data      string
	Meta      config.Meta    // where its rows are, if not in it
	Principal string         // ARN of a root, user, role or role's session
	Action    string         // as glacier:DeleteArchive, with or without prefix
	Region    moraine.Region // of the vault
	Account   string         // that owns the vault; "" for the principal's
	Vault     string         // "" if the action is on none

	Archive moraine.ArchiveID // "" for none
	HasAge  bool              // instead of Archive: an archive of the vault with
	AgeDays int64             // this age
	// Tags are those of the request, if the action is on tags. Otherwise the
	// vault is supposed to have them.
	Tags []moraine.Tag

	At       time.Time // zero for now
	SourceIP string    // "" for none that a condition could match
	Plain    bool      // the request comes without TLS

	Now         func() time.Time // zero: time.Now
	MaxDowntime time.Duration    // as in clock.Config
	Log         *slog.Logger     // zero: discard
}

// Simulated is the answer to a Simulation.
type Simulated struct {
	Allowed    bool                 `json:"allowed"`
	Reason     string               `json:"reason"` // code of access-control §5.2, "foreign-account" or "lock-state"
	Principal  string               `json:"principal"`
	Action     string               `json:"action"`
	Resource   string               `json:"resource"`
	At         time.Time            `json:"at"`
	AgeDays    *int64               `json:"archiveAgeInDays,omitempty"`
	Lock       string               `json:"lock,omitempty"` // state of the vault's lock at that time
	Statements []SimulatedStatement `json:"statements"`
	Message    string               `json:"message,omitempty"` // what a client would read
}

// SimulatedStatement is a statement that decided.
type SimulatedStatement struct {
	Kind   string `json:"kind"`   // of the policy: identity, session, boundary, access-policy or lock-policy
	Policy string `json:"policy"` // its name
	Index  int    `json:"index"`  // of the statement, from zero; -1 if the policy does not parse
	Sid    string `json:"sid,omitempty"`
	Effect string `json:"effect"`
}

// Reasons that are not the evaluator's.
const (
	reasonForeign   = "foreign-account"
	reasonLockState = "lock-state"
)

// Run answers from the rows of a data directory that no server is using. It
// changes nothing in them. An error means that there is no answer.
func (q Simulation) Run(ctx context.Context) (out Simulated, err error) {
	if q.Now == nil {
		q.Now = time.Now
	}
	if q.Log == nil {
		q.Log = slog.New(slog.DiscardHandler)
	}
	if err := q.settle(); err != nil {
		return out, err
	}
	d, err := openExisting(q.Data, q.Meta)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := q.settleTime(d); err != nil {
		return out, err
	}
	rows, err := d.openRows(ctx, q.Log, nil)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	err = rows.View(ctx, func(tx meta.Tx) (err error) {
		out, err = q.answer(tx)
		return err
	})
	return out, err
}

// settle completes the question and refuses one whose answer would mislead.
func (q *Simulation) settle() error {
	name := q.Action
	if !strings.Contains(name, ":") {
		name = "glacier:" + name
	}
	action, ofVault, ok := policy.FindAction(name)
	if !ok {
		return fmt.Errorf("there is no action %s", name)
	}
	q.Action = action
	switch onVault := ofVault || action == "glacier:CreateVault"; {
	case onVault && !moraine.ValidVaultName(q.Vault):
		return fmt.Errorf("%s is on a vault: %q is not the name of one", action, q.Vault)
	case !onVault && q.Vault != "":
		return fmt.Errorf("%s is not on a vault", action)
	}
	return q.settleArchive()
}

func (q *Simulation) settleArchive() error {
	given := q.HasAge || q.Archive != ""
	switch {
	case q.HasAge && q.Archive != "":
		return errors.New("an archive has the age it has: give one or the other")
	case q.AgeDays < 0:
		return fmt.Errorf("no archive is %d days old", q.AgeDays)
	case q.Action == "glacier:DeleteArchive" && !given:
		return errors.New("whether an archive may be deleted depends on which, or on its age")
	case given && q.Action != "glacier:DeleteArchive" && q.Action != "glacier:InitiateJob":
		return fmt.Errorf("%s is not on an archive", q.Action)
	}
	return nil
}

// settleTime takes the time from the clock the server would go by.
func (q *Simulation) settleTime(d *data) error {
	clk, err := d.openClock(clock.Config{System: q.Now, MaxDowntime: q.MaxDowntime, Log: q.Log})
	if err != nil {
		return err
	}
	now := clk.Now().UTC()
	if q.At.IsZero() {
		q.At = now
	}
	q.At = q.At.UTC().Truncate(time.Millisecond)
	if q.At.Before(now.Truncate(time.Second)) {
		return fmt.Errorf("%s is over: archives, policies and locks are known as they are now", q.At.Format(time.RFC3339))
	}
	return nil
}

// answer asks the evaluator at the time of the question.
func (q *Simulation) answer(tx meta.Tx) (Simulated, error) {
	who, err := account.Named(tx, q.Principal, q.At)
	if err != nil {
		return Simulated{}, err
	}
	call := access.Call{Principal: who, Region: q.Region, Account: "-", Source: q.SourceIP, Secure: !q.Plain}
	if q.Account != "" {
		call.Account = q.Account
	}
	act, suppose := q.act()
	authority := access.New(access.Config{Now: func() time.Time { return q.At }, Log: q.Log})
	x, err := authority.Explain(tx, call, act, suppose)
	if err != nil {
		return Simulated{}, err
	}
	out := Simulated{
		Allowed: x.Allowed, Reason: x.Reason.String(), Principal: who.ARN, Action: q.Action, Resource: x.Resource, At: q.At,
		Statements: statements(x.Statements), Message: x.Denial,
	}
	if x.Foreign {
		out.Reason = reasonForeign
		return out, nil
	}
	if q.Vault != "" && !x.Found && q.Action != "glacier:CreateVault" {
		return out, fmt.Errorf("there is no vault %s", x.Resource)
	}
	if out.AgeDays, err = q.age(tx, authority, &x); err != nil {
		return out, err
	}
	q.applyLock(&out, &x)
	return out, nil
}

// act is what the principal wants to do, and what is supposed.
func (q *Simulation) act() (access.Act, access.Supposition) {
	name := strings.TrimPrefix(q.Action, "glacier:")
	act := access.Act{Action: name, Vault: q.Vault, Archive: q.Archive}
	suppose := access.Supposition{HasAge: q.HasAge, AgeDays: q.AgeDays}
	switch name {
	case "AddTagsToVault":
		act.Tags = q.Tags
		fallthrough
	case "RemoveTagsFromVault":
		for _, t := range q.Tags {
			act.TagKeys = append(act.TagKeys, t.Key)
		}
	default:
		suppose.Tags = q.Tags
	}
	return act, suppose
}

// age is what the conditions saw of the archive's age, nil if there is none.
// An archive that is not there has no age to ask for, so there is no answer.
func (q *Simulation) age(tx meta.Tx, authority *access.Authority, x *access.Explanation) (*int64, error) {
	if q.HasAge {
		return &q.AgeDays, nil
	}
	if q.Archive == "" {
		return nil, nil
	}
	a, err := authority.Archive(tx, &x.Vault, q.Archive)
	switch {
	case err != nil:
		return nil, err
	case !a.Deleted.IsZero():
		return nil, fmt.Errorf("the archive %s is deleted", q.Archive)
	}
	days := access.AgeDays(&a, q.At)
	return &days, nil
}

// applyLock notes the lock of the vault, whose state forbids some actions
// that its policy cannot (access-control §6.1, §6.2).
func (q *Simulation) applyLock(out *Simulated, x *access.Explanation) {
	l := &x.Lock
	switch {
	case l.State == "":
		return
	case l.Over(q.At):
		out.Lock = "none: the one in progress ends at " + l.Expires.UTC().Format(time.RFC3339) + " unless it is completed"
		return
	case l.State == moraine.LockInProgress:
		out.Lock = string(l.State) + " until " + l.Expires.UTC().Format(time.RFC3339)
	default:
		out.Lock = string(l.State)
	}
	initiate := q.Action == "glacier:InitiateVaultLock"
	abort := q.Action == "glacier:AbortVaultLock" && l.State == moraine.LockLocked
	if !out.Allowed || !initiate && !abort {
		return
	}
	out.Allowed, out.Reason, out.Statements = false, reasonLockState, statements(nil)
	out.Message = "Vault is already locked: " + x.Resource
	if l.State == moraine.LockInProgress {
		out.Message = "Vault lock is already in progress for: " + x.Resource
	}
}

// statements translates those of a decision.
func statements(list []policy.Match) []SimulatedStatement {
	out := make([]SimulatedStatement, len(list))
	for i, m := range list {
		effect := "Deny" // also of a policy that does not parse
		if m.Effect == policy.Allow && m.Index >= 0 {
			effect = "Allow"
		}
		out[i] = SimulatedStatement{Kind: m.Kind.String(), Policy: m.Policy, Index: m.Index, Sid: m.Sid, Effect: effect}
	}
	return out
}
