package policy

import "slices"

// Policy is a stored document under the name a Decision gives it.
type Policy struct {
	Name string
	// Document is the parsed text; nil means that it did not parse, and denies
	// every request.
	Document *Document
	// Bindings is the table made by Bind when the document was stored. Only
	// documents with principals need one.
	Bindings Bindings
}

// Policies are all the documents that concern a request (access-control §5.1).
// What is nil or empty does not exist and narrows nothing. The caller leaves
// out lock policies that have expired, and groups' policies are among Identity.
type Policies struct {
	Identity []Policy
	Session  []Policy // together they narrow: one Allow among them is enough
	Boundary *Policy
	Access   *Policy
	Lock     *Policy
	Trust    *Policy // of the role a request wants to assume
}

// checksMax is how many statements a request may cost (access-control §5.2).
const checksMax = 10_000

// stepsMax is how many steps the comparison of patterns may take for a request,
// some tens of milliseconds: more than any honest policy needs, too few for one
// that was written to keep a server busy (access-control §7.1).
const stepsMax = 4 << 20

// matchesUsual is how many statements match an ordinary request at most.
const matchesUsual = 4

// Evaluate decides a request by the algorithm of access-control §5.2. It is a
// pure function: it neither changes nor keeps its arguments.
func Evaluate(r *Request, p *Policies) Decision {
	own, steps := *r, stepsMax
	own.steps = &steps
	e := evaluation{request: &own, policies: p, checksLeft: checksMax, matches: make([]match, 0, matchesUsual)}
	e.scanAll()
	return e.decide()
}

// evaluation is the state of one call of Evaluate.
type evaluation struct {
	request    *Request
	policies   *Policies
	checksLeft int
	matches    []match // in the order I, S, P, R of §5.2
	unreadable bool
	exhausted  bool
}

// match is a statement that matched, or a policy that does not parse.
type match struct {
	policy    *Policy
	statement *statement // nil for a policy that does not parse
	index     int
	kind      Kind
	class     class // of a resource's policy
}

func (m match) effect() Effect {
	if m.statement == nil {
		return Deny
	}
	return m.statement.effect
}

func (m match) export() Match {
	if m.statement == nil {
		return Match{Kind: m.kind, Policy: m.policy.Name, Index: -1}
	}
	return Match{Kind: m.kind, Policy: m.policy.Name, Index: m.index, Sid: m.statement.sid, Effect: m.statement.effect}
}

// scanAll collects the matching statements of all policies.
func (e *evaluation) scanAll() {
	p := e.policies
	e.scan(IdentityPolicy, p.Identity...)
	e.scan(SessionPolicy, p.Session...)
	e.scanOne(BoundaryPolicy, p.Boundary)
	// A vault's policies have no say in the operations of identity policies,
	// not even when a wildcard covers them (access-control §3.6).
	if !slices.Contains(identityActions, e.request.Action) {
		e.scanOne(AccessPolicy, p.Access)
		e.scanOne(LockPolicy, p.Lock)
	}
	e.scanOne(TrustPolicy, p.Trust)
}

func (e *evaluation) scan(k Kind, policies ...Policy) {
	for i := range policies {
		e.scanOne(k, &policies[i])
	}
}

func (e *evaluation) scanOne(k Kind, p *Policy) {
	switch {
	case p == nil:
		return
	case p.Document == nil:
		e.unreadable = true
		e.matches = append(e.matches, match{policy: p, kind: k})
		return
	}
	for i := range p.Document.statements {
		if e.checksLeft == 0 {
			e.exhausted = true
			return
		}
		e.checksLeft--
		s := &p.Document.statements[i]
		c, ok := e.applies(s, k, p.Bindings)
		if *e.request.steps < 0 {
			e.exhausted = true
			return
		}
		if ok {
			e.matches = append(e.matches, match{policy: p, statement: s, index: i, kind: k, class: c})
		}
	}
}

// applies reports whether a statement matches the request: action, resource,
// principal and conditions, the cheap ones first.
func (e *evaluation) applies(s *statement, k Kind, b Bindings) (class, bool) {
	r := e.request
	if !s.actions.matches(r.Action, r) {
		return classNone, false
	}
	if s.resources.patterns == nil {
		// A trust policy is about its role. Elsewhere the element is never
		// missing; if it were, only a Deny could do without.
		if k != TrustPolicy && s.effect == Allow {
			return classNone, false
		}
	} else if !s.resources.matches(r.Resource, r) {
		return classNone, false
	}
	c := classNone
	if k.ofResource() {
		if c = e.names(s, b); c == classNone {
			return c, false
		}
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(r, s.effect) {
			return c, false
		}
	}
	return c, true
}

// names returns how closely a statement of a resource's policy names the
// caller.
func (e *evaluation) names(s *statement, b Bindings) class {
	ps := &s.principals
	caller := &e.request.Principal
	switch {
	case !ps.negated:
		return ps.match(caller, b, s.effect)
	case s.effect == Allow:
		return classNone
	default:
		// A boundary is one more layer, which nobody can list
		// (access-control §3.3).
		return grade(classDirect, e.policies.Boundary != nil || !ps.excepts(caller, b))
	}
}
