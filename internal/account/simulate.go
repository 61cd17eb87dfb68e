package account

import (
	"context"
	"strings"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/arn"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// simulationsMax bounds the questions of one simulation.
const simulationsMax = 1000

// Simulation asks what a user, group or role might do.
type Simulation struct {
	Source    string   // its ARN
	Policies  []string // texts of identity policies to add to its own
	Actions   []string
	Resources []string          // none for "*"
	Keys      map[string]string // condition keys
}

// Simulated is one answer.
type Simulated struct {
	Action, Resource string
	Decision         string   // "allowed", "explicitDeny" or "implicitDeny"
	Matched          []string // names of the policies whose statements decided
}

// Simulate evaluates the policies of a user, group or role as they are now.
// Policies of resources have no part in it.
func (s *Service) Simulate(ctx context.Context, c Call, q Simulation) ([]Simulated, error) {
	if len(q.Resources) == 0 {
		q.Resources = []string{"*"}
	}
	if q.Source == "" {
		return nil, absent("policySourceArn")
	}
	if len(q.Actions) == 0 {
		return nil, absent("actionNames")
	}
	if len(q.Actions)*len(q.Resources) > simulationsMax {
		return nil, overQuota("Simulations", simulationsMax)
	}
	var added []policy.Policy
	for _, text := range q.Policies {
		d, err := document(text, policy.Target{Kind: policy.IdentityPolicy})
		if err != nil {
			return nil, err
		}
		added = append(added, policy.Policy{Name: "PolicyInputList", Document: d})
	}
	p, err := view(ctx, s, func(tx meta.Tx) (*access.Principal, error) { return s.simulated(tx, &c, q.Source) })
	if err != nil {
		return nil, err
	}
	policies := p.Policies()
	policies.Identity = append(added, policies.Identity...)
	var out []Simulated
	for _, action := range q.Actions {
		for _, resource := range q.Resources {
			out = append(out, s.simulate(p, &policies, action, resource, q.Keys))
		}
	}
	return out, nil
}

// simulated returns the principal of a user or role; for a group, one that has
// the group's policies alone.
func (s *Service) simulated(tx meta.Tx, c *Call, source string) (*access.Principal, error) {
	if err := s.authorize(tx, c, "iam:SimulatePrincipalPolicy", source); err != nil {
		return nil, err
	}
	a, err := arn.Parse(source)
	kind, path, _ := strings.Cut(a.Resource, "/")
	if _, ok := rules[moraine.IdentityKind(kind)]; err != nil || !ok || kind == string(moraine.PolicyIdentity) || a.Account != string(c.Principal.Account) {
		return nil, failf(InvalidInput, "Invalid Entity Arn: %s does not clearly define entity type and name.", echo(source))
	}
	e, err := find(tx, c.Principal.Account, moraine.IdentityKind(kind), path[lastSlash(path):])
	if err == nil && e.ARN != source {
		err = noSuch(e.Kind, e.Name)
	}
	if err != nil {
		return nil, err
	}
	if e.Kind != moraine.GroupIdentity {
		return compile(tx, e.ID)
	}
	p := &access.Principal{Account: e.Account, ARN: e.ARN, ID: e.ID}
	p.Identity, err = own(tx, e, nil)
	return p, err
}

func (s *Service) simulate(p *access.Principal, policies *policy.Policies, action, resource string, keys map[string]string) Simulated {
	r := policy.Request{Principal: p.Caller(), Action: action, Resource: resource, Owner: string(p.Account), Now: s.now()}
	for key, value := range keys {
		r.Context.Add(key, value)
	}
	p.Describe(&r.Context)
	d := policy.Evaluate(&r, policies)
	out := Simulated{Action: action, Resource: resource, Decision: "implicitDeny"}
	switch {
	case d.Allowed:
		out.Decision = "allowed"
	case d.Reason.Explicit():
		out.Decision = "explicitDeny"
	}
	for _, m := range d.Statements {
		out.Matched = append(out.Matched, m.Policy)
	}
	return out
}
