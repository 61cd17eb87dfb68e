package iamapi

import (
	"strconv"

	"moraine/internal/account"
)

func (s *Server) simulatePrincipalPolicy(c *call) (any, error) {
	for _, unknown := range []string{"ResourcePolicy", "CallerArn", "ResourceOwner", "PermissionsBoundaryPolicyInputList.member.1"} {
		if c.get(unknown) != "" {
			return nil, &account.Error{Code: account.InvalidInput, Message: unknown + " is not supported."}
		}
	}
	q := account.Simulation{
		Source: c.get("PolicySourceArn"), Policies: c.list("PolicyInputList"), Actions: c.list("ActionNames"), Resources: c.list("ResourceArns"),
		Keys: map[string]string{},
	}
	for i := 1; i <= listMax; i++ {
		entry := "ContextEntries.member." + strconv.Itoa(i)
		if !c.params.Has(entry + ".ContextKeyName") {
			break
		}
		if values := c.list(entry + ".ContextKeyValues"); len(values) == 1 {
			q.Keys[c.get(entry+".ContextKeyName")] = values[0]
		}
	}
	results, err := s.cfg.Accounts.Simulate(c.r.Context(), c.who, q)
	type statement struct{ SourcePolicyId string }
	type result struct {
		EvalActionName, EvalResourceName, EvalDecision string
		MatchedStatements                              members[statement]
		MissingContextValues                           members[string]
	}
	return several[result]{name: "EvaluationResults", list: list(results, func(r account.Simulated) result {
		return result{
			EvalActionName: r.Action, EvalResourceName: r.Resource, EvalDecision: r.Decision,
			MatchedStatements: list(r.Matched, func(id string) statement { return statement{id} }),
		}
	})}, err
}
