package policy

// decide applies the steps of §5.2 to the matches.
func (e *evaluation) decide() Decision {
	switch {
	case e.unreadable:
		return e.decision(false, ReasonUnreadable, func(m match) bool { return m.statement == nil })
	case e.exhausted:
		return Decision{Reason: ReasonExhausted}
	}
	recovered := false
	for i := range e.matches {
		m := e.matches[i]
		switch {
		case m.effect() == Allow || e.abortsLock(m):
		case e.recovers(m):
			recovered = true
		default:
			return e.decision(false, m.kind.explicit(), e.denies)
		}
	}
	if e.request.owner() != e.request.Principal.Account {
		return e.decideForeign()
	}
	return e.decideLocal(recovered)
}

// denies reports whether m is a Deny that counts: step 1 without 1a and 1b.
func (e *evaluation) denies(m match) bool {
	return m.effect() == Deny && !e.recovers(m) && !e.abortsLock(m)
}

// recovers reports whether m is a Deny the owner's root may pass to undo a
// lock-out of its own making: step 1a.
func (e *evaluation) recovers(m match) bool {
	r := e.request
	if m.kind != AccessPolicy || m.effect() != Deny || r.Principal.Type != Account || r.owner() != r.Principal.Account {
		return false
	}
	switch r.Action {
	case actionGetVaultAccessPolicy, actionSetVaultAccessPolicy, actionDeleteVaultAccessPolicy:
		return true
	}
	return false
}

// abortsLock reports whether m is a Deny that cannot keep its own lock from
// being withdrawn: step 1b.
func (e *evaluation) abortsLock(m match) bool {
	return m.kind == LockPolicy && m.effect() == Deny && e.request.Action == actionAbortVaultLock
}

// decideLocal takes steps 2 to 6: the caller's account owns the resource.
func (e *evaluation) decideLocal(recovered bool) Decision {
	// A role is assumed by whom its trust policy allows and by nobody else, so
	// the steps that do without an Allow in R are not for it.
	if e.policies.Trust != nil && !e.allows(trust) {
		return Decision{Reason: ReasonResourceImplicit}
	}
	if e.request.Principal.Type == Account {
		reason := ReasonRoot
		if recovered {
			reason = ReasonRootRecovery
		}
		return Decision{Allowed: true, Reason: reason}
	}
	narrowed := e.narrowed()
	switch {
	case e.allows(direct):
		return e.decision(true, ReasonResourceDirect, direct)
	case narrowed == ReasonNone && e.allows(throughRole):
		return e.decision(true, ReasonResourceRole, func(m match) bool { return throughRole(m) || narrowing(m) })
	case narrowed != ReasonNone:
		return Decision{Reason: narrowed}
	case e.allows(identity):
		return e.decision(true, ReasonIdentity, func(m match) bool { return identity(m) || narrowing(m) })
	default:
		return Decision{Reason: ReasonIdentityImplicit}
	}
}

// decideForeign takes steps 7 to 10: another account owns the resource.
func (e *evaluation) decideForeign() Decision {
	switch {
	case !e.allows(resource):
		return Decision{Reason: ReasonResourceImplicit}
	case e.request.Principal.Type == Account:
		return e.decision(true, ReasonCrossAccountRoot, resource)
	case !e.allows(identity):
		return Decision{Reason: ReasonIdentityImplicit}
	}
	if narrowed := e.narrowed(); narrowed != ReasonNone {
		return Decision{Reason: narrowed}
	}
	return e.decision(true, ReasonCrossAccount, func(match) bool { return true })
}

// narrowed returns why session policies or boundary do not allow the request;
// ReasonNone if they do, or are absent.
func (e *evaluation) narrowed() Reason {
	switch p := e.policies; {
	case len(p.Session) > 0 && !e.allows(func(m match) bool { return m.kind == SessionPolicy }):
		return ReasonSessionImplicit
	case p.Boundary != nil && !e.allows(func(m match) bool { return m.kind == BoundaryPolicy }):
		return ReasonBoundaryImplicit
	default:
		return ReasonNone
	}
}

// The sorts of Allow the steps distinguish.
func identity(m match) bool    { return m.kind == IdentityPolicy }
func narrowing(m match) bool   { return m.kind == SessionPolicy || m.kind == BoundaryPolicy }
func resource(m match) bool    { return m.kind.ofResource() }
func trust(m match) bool       { return m.kind == TrustPolicy }
func direct(m match) bool      { return m.class == classDirect }
func throughRole(m match) bool { return m.class == classRole }

// allows reports whether an Allow of that sort matched.
func (e *evaluation) allows(sort func(match) bool) bool {
	for i := range e.matches {
		if e.matches[i].effect() == Allow && sort(e.matches[i]) {
			return true
		}
	}
	return false
}

// decision returns a decision with the matches that made it: of its effect,
// and of that sort.
func (e *evaluation) decision(allowed bool, reason Reason, sort func(match) bool) Decision {
	d := Decision{Allowed: allowed, Reason: reason}
	for i := range e.matches {
		if m := e.matches[i]; allowed == (m.effect() == Allow) && sort(m) {
			d.Statements = append(d.Statements, m.export())
		}
	}
	return d
}
