package api

import (
	"net/http"

	"moraine/internal/job"
)

// ruleJSON is a rule of a data retrieval policy (§10.1).
type ruleJSON struct {
	BytesPerHour *int64
	Strategy     string
}

func (s *Server) getDataRetrievalPolicy(c *call) error {
	p, err := s.cfg.Jobs.GetDataRetrievalPolicy(c.r.Context(), c.who)
	if err != nil {
		return err
	}
	rule := ruleJSON{Strategy: string(p.Strategy)}
	if p.BytesPerHour > 0 {
		rule.BytesPerHour = &p.BytesPerHour
	}
	var answer struct {
		Policy struct{ Rules []ruleJSON }
	}
	answer.Policy.Rules = []ruleJSON{rule}
	return c.ok(answer)
}

func (s *Server) setDataRetrievalPolicy(c *call) error {
	err := s.cfg.Jobs.SetDataRetrievalPolicy(c.r.Context(), c.who,
		func() (job.RetrievalRules, error) { return decodeRetrievalRules(c.auth.Body) })
	if err != nil {
		return err
	}
	return c.done()
}

// decodeRetrievalRules reads the body of SetDataRetrievalPolicy.
func decodeRetrievalRules(body []byte) (job.RetrievalRules, error) {
	var r job.RetrievalRules
	top, err := decodeObject(body)
	if err != nil {
		return r, err
	}
	in := top.object("Policy")
	r.HasPolicy = in.fields != nil
	list, ok := in.list("Rules")
	r.HasRules = ok
	for _, raw := range list {
		var rule job.RetrievalRule
		fields := in.nested(raw)
		fields.text("Strategy", &rule.Strategy)
		fields.number("BytesPerHour", &rule.BytesPerHour)
		r.Rules = append(r.Rules, rule)
	}
	return r, *top.err
}

func (s *Server) purchaseProvisionedCapacity(c *call) error {
	u, err := s.cfg.Jobs.PurchaseProvisionedCapacity(c.r.Context(), c.who)
	if err != nil {
		return err
	}
	return c.created(http.StatusCreated, "", "x-amz-capacity-id", string(u.ID))
}

// unitJSON is a capacity unit in ListProvisionedCapacity (§10.2).
type unitJSON struct {
	CapacityId     string //nolint:revive // the key on the wire
	ExpirationDate *string
	StartDate      *string
}

func (s *Server) listProvisionedCapacity(c *call) error {
	units, err := s.cfg.Jobs.ListProvisionedCapacity(c.r.Context(), c.who)
	if err != nil {
		return err
	}
	answer := struct{ ProvisionedCapacityList []unitJSON }{make([]unitJSON, 0, len(units))}
	for _, u := range units {
		answer.ProvisionedCapacityList = append(answer.ProvisionedCapacityList,
			unitJSON{string(u.ID), millis(u.Expires), millis(u.Start)})
	}
	return c.ok(answer)
}
