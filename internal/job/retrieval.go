package job

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
)

// RetrievalRule is a rule of a data retrieval policy as sent, "" if absent.
type RetrievalRule struct {
	Strategy     string
	BytesPerHour string // the text of a number
}

// RetrievalRules are the fields of a SetDataRetrievalPolicy request (§10.1).
type RetrievalRules struct {
	HasPolicy, HasRules bool
	Rules               []RetrievalRule
}

// GetDataRetrievalPolicy returns the data retrieval policy of an account in a
// region; without one nothing is limited (§10.1).
func (s *Service) GetDataRetrievalPolicy(ctx context.Context, call access.Call) (moraine.RetrievalPolicy, error) {
	var p moraine.RetrievalPolicy
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "GetDataRetrievalPolicy"})
		if err != nil {
			return err
		}
		p, err = retrievalPolicy(tx, grant.Account, call.Region)
		return err
	})
	return p, err
}

func retrievalPolicy(tx meta.Tx, account moraine.AccountID, region moraine.Region) (moraine.RetrievalPolicy, error) {
	p, err := tx.Settings().RetrievalPolicy(account, region)
	if errors.Is(err, meta.ErrNotFound) {
		return moraine.RetrievalPolicy{Strategy: moraine.NoLimit}, nil
	}
	return p, err
}

// SetDataRetrievalPolicy limits what an account retrieves in a region from now
// on; jobs that were accepted are not touched (§10.1). params decodes the
// request; its errors come in their place (§1.12).
func (s *Service) SetDataRetrievalPolicy(ctx context.Context, call access.Call, params func() (RetrievalRules, error)) error {
	rules, malformed := params()
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "SetDataRetrievalPolicy"})
		if err != nil {
			return err
		}
		if malformed != nil {
			return malformed
		}
		p, err := rules.parse()
		if err != nil {
			return err
		}
		return tx.Settings().SetRetrievalPolicy(grant.Account, call.Region, p)
	})
}

// parse checks the fields and makes a policy of them.
func (r RetrievalRules) parse() (moraine.RetrievalPolicy, error) {
	var p moraine.RetrievalPolicy
	switch {
	case !r.HasPolicy:
		return p, missing("policy")
	case !r.HasRules:
		return p, missing("rules")
	case len(r.Rules) != 1:
		return p, invalid("Rules", strconv.Itoa(len(r.Rules))+" rules where exactly one is allowed")
	}
	rule := r.Rules[0]
	p.Strategy = moraine.Strategy(rule.Strategy)
	switch p.Strategy {
	case "":
		return p, missing("strategy")
	case moraine.FreeTier, moraine.NoLimit:
		if rule.BytesPerHour != "" {
			return p, invalid("BytesPerHour", rule.BytesPerHour)
		}
		return p, nil
	case moraine.BytesPerHour:
	default:
		return p, invalid("Strategy", rule.Strategy)
	}
	if rule.BytesPerHour == "" {
		return p, missing("bytesPerHour")
	}
	n, err := strconv.ParseInt(rule.BytesPerHour, 10, 64)
	if err != nil || n < 1 {
		return p, invalid("BytesPerHour", rule.BytesPerHour)
	}
	p.BytesPerHour = n
	return p, nil
}

// Figures of the data retrieval policy (§10.1): the hours over which a
// Standard retrieval counts, and the days over which the free allowance of a
// month is spread.
const (
	standardHours = 4
	freeDays      = 30
)

// enforce refuses a retrieval that the policy of the account forbids.
func (s *Service) enforce(tx meta.Tx, v *moraine.Vault, j *moraine.Job, now time.Time) error {
	if j.Tier != moraine.Standard {
		return nil
	}
	p, err := retrievalPolicy(tx, v.Account, v.Region)
	if err != nil || p.Strategy == moraine.NoLimit {
		return err
	}
	q := meta.Load{Account: v.Account, Region: v.Region, Tier: moraine.Standard}
	allowed := s.cfg.FreeTier / freeDays
	if p.Strategy == moraine.FreeTier {
		q.Since = now.Truncate(24 * time.Hour) // midnight UTC
	} else {
		allowed = min(p.BytesPerHour, math.MaxInt64/standardHours) * standardHours
	}
	load, err := tx.Settings().Load(q)
	if err == nil && load.Bytes > allowed-j.Output {
		err = moraine.Errorf(moraine.Policy, "InitiateJob request denied by current data retrieval policy.")
	}
	return err
}
