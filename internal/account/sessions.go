package account

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/arn"
	"moraine/internal/meta"
	"moraine/internal/policy"
	"moraine/internal/sigv4"
)

// Credentials are a temporary key. Token and secret are shown once.
type Credentials struct {
	KeyID         string
	Secret, Token sigv4.Secret
	Expires       time.Time
}

// Caller is what GetCallerIdentity tells (access-control §2.1). It needs no
// permission.
func Caller(c *Call) (id, arn string, account moraine.AccountID) {
	caller := c.Principal.Caller()
	return caller.ID, caller.ARN, c.Principal.Account
}

// AssumeRole describes a role's session to begin.
type AssumeRole struct {
	RoleARN        string
	SessionName    string
	Duration       time.Duration // zero for an hour
	Policy         string        // session policy, "" for none
	Policies       []string      // ARNs of managed session policies
	Tags           []moraine.Tag
	Transitive     []string // keys of Tags that go on to sessions begun from this one
	ExternalID     string
	SourceIdentity string
}

// Assumed is a role's session.
type Assumed struct {
	Credentials
	ID, ARN        string
	PackedSize     int // percent of the longest token
	SourceIdentity string
}

// AssumeRole begins a session of a role, which its trust policy must allow,
// and so must the caller's own policies unless the trust policy names the
// caller itself (access-control §2.3, §5.2).
func (s *Service) AssumeRole(ctx context.Context, c Call, a AssumeRole) (Assumed, error) {
	if err := a.check(); err != nil {
		return Assumed{}, err
	}
	// Taken before the view: a session that was decided by what stood before a
	// revocation is dated before it.
	now := s.birth()
	return view(ctx, s, func(tx meta.Tx) (Assumed, error) {
		var err error
		if c.Principal, err = c.Principal.Fresh(tx); err != nil {
			return Assumed{}, err
		}
		a, err := a.inherit(&c.Principal)
		if err != nil {
			return Assumed{}, err
		}
		role, err := s.assumable(tx, &c, &a)
		if err != nil {
			return Assumed{}, err
		}
		switch chained := c.Principal.RoleID != ""; {
		case chained && a.Duration > chainedMax:
			return Assumed{}, failf(ValidationError, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
		case a.Duration > time.Duration(role.Role.SessionMax)*time.Second:
			return Assumed{}, failf(ValidationError, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
		}
		for _, arn := range a.Policies {
			if _, err := findManaged(tx, role.Account, arn); err != nil {
				return Assumed{}, notAttachable(err, arn)
			}
		}
		creds, size, err := s.begin(&session{
			Account: role.Account, Subject: role.ID, Name: a.SessionName, Issued: role.Role.begin(now).Unix(), Expires: now.Add(a.Duration).Unix(), Revocations: role.Role.Revocations,
			Policy: a.Policy, Policies: a.Policies, Tags: a.Tags, Transitive: a.Transitive, SourceIdentity: a.SourceIdentity,
		})
		return Assumed{
			Credentials: creds, ID: role.ID + ":" + a.SessionName, ARN: sessionARN(role.Account, role.ARN, a.SessionName),
			PackedSize: size, SourceIdentity: a.SourceIdentity,
		}, err
	})
}

// check looks at what can be judged without rows.
func (a *AssumeRole) check() error {
	if a.Duration == 0 {
		a.Duration = sessionDefault
	}
	if err := checkDuration(a.Duration, roleSessionMax); err != nil {
		return err
	}
	if a.RoleARN == "" {
		return absent("roleArn")
	}
	if err := checkName(a.SessionName, "roleSessionName", sessionNameMax); err != nil {
		return err
	}
	if len(a.SessionName) < 2 {
		return violation(a.SessionName, "roleSessionName", "Member must have length greater than or equal to 2")
	}
	if len(a.SourceIdentity) == 1 || a.SourceIdentity != "" && checkName(a.SourceIdentity, "sourceIdentity", sessionNameMax) != nil {
		return violation(a.SourceIdentity, "sourceIdentity", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	}
	if a.ExternalID != "" && (len(a.ExternalID) < 2 || len(a.ExternalID) > externalIDMax || strings.ContainsFunc(a.ExternalID, func(r rune) bool { return !nameRune(r) && r != ':' && r != '/' })) {
		return violation(a.ExternalID, "externalId", `Member must satisfy regular expression pattern: [\w+=,.@:\/-]*`)
	}
	if len(a.Policies) > sessionPolicies {
		return overQuota("PolicyArns", sessionPolicies)
	}
	if err := a.checkTags(); err != nil {
		return err
	}
	if a.Policy == "" {
		return nil
	}
	_, err := document(a.Policy, policy.Target{Kind: policy.SessionPolicy})
	var full *Error
	if errors.As(err, &full) && full.Code == LimitExceeded {
		return packedTooLarge(len(a.Policy), policy.SessionPolicySize) // STS has no other word for it
	}
	return err
}

// checkTags looks at the tags, and spells the transitive keys as they do.
func (a *AssumeRole) checkTags() error {
	if len(a.Tags) > tagsMax {
		return overQuota("TagsPerSession", tagsMax)
	}
	if len(a.Transitive) > tagsMax {
		return overQuota("TransitiveTagKeys", tagsMax)
	}
	a.Transitive = slices.Clone(a.Transitive)
	for i, key := range a.Transitive {
		t := tagOf(a.Tags, key)
		if t < 0 {
			return failf(InvalidParameterValue, "The specified transitive tag key must be included in the requested tags.")
		}
		a.Transitive[i] = a.Tags[t].Key
	}
	return checkTags(a.Tags)
}

// inherit returns a with what goes on from the session of the caller: its
// source identity, which nobody may change, and its transitive tags.
func (a AssumeRole) inherit(p *access.Principal) (AssumeRole, error) {
	switch {
	case a.SourceIdentity == "":
		a.SourceIdentity = p.SourceIdentity
	case p.SourceIdentity != "" && p.SourceIdentity != a.SourceIdentity:
		return a, a.refusal(p)
	}
	var inherited []moraine.Tag
	for _, key := range p.Transitive {
		if tagOf(a.Tags, key) >= 0 {
			return a, failf(InvalidParameterValue, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		inherited = append(inherited, p.Tags[tagOf(p.Tags, key)])
	}
	a.Tags, a.Transitive = append(inherited, a.Tags...), slices.Concat(p.Transitive, a.Transitive)
	return a, a.checkTags()
}

// tagOf is the index of the tag with that key, whose case does not matter; -1
// if there is none.
func tagOf(tags []moraine.Tag, key string) int {
	return slices.IndexFunc(tags, func(t moraine.Tag) bool { return strings.EqualFold(t.Key, key) })
}

// refusal is what whoever may not assume the role hears, whether or not there
// is one.
func (a *AssumeRole) refusal(p *access.Principal) error {
	return denied("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", p.ARN, echo(a.RoleARN))
}

func checkDuration(d, limit time.Duration) error {
	if d < sessionMin || d > limit {
		return failf(ValidationError, "1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value from %d to %d",
			int64(d/time.Second), int64(sessionMin/time.Second), int64(limit/time.Second))
	}
	return nil
}

// assumable returns the role if the caller, who is fresh, may assume it.
func (s *Service) assumable(tx meta.Tx, c *Call, a *AssumeRole) (*Entity, error) {
	name, err := arn.Parse(a.RoleARN)
	if err != nil || name.Service != "iam" || !strings.HasPrefix(name.Resource, "role/") {
		return nil, failf(ValidationError, "%s is invalid", echo(a.RoleARN))
	}
	if c.Principal.Root {
		return nil, denied("Roles may not be assumed by root accounts.")
	}
	owner := moraine.AccountID(name.Account)
	role, err := find(tx, owner, moraine.RoleIdentity, name.Resource[lastSlash(name.Resource):])
	var absent *Error
	switch {
	case errors.As(err, &absent), err == nil && role.ARN != a.RoleARN:
		return nil, a.refusal(&c.Principal)
	case err != nil:
		return nil, err
	}
	for _, action := range a.actions() {
		d := s.trusts(c, role, a, action)
		switch refusal := a.refusal(&c.Principal); {
		case d.Allowed:
		case role.Account != c.Principal.Account:
			return nil, refusal // the trust policy is another account's business
		default:
			return nil, moraine.Wrap(&access.Refusal{Decision: d}, moraine.Denied, "%s", refusal.Error())
		}
	}
	return role, nil
}

// actions are what must be allowed: tags and a source identity are read by
// policies, so to choose them is a right of its own.
func (a *AssumeRole) actions() []string {
	list := []string{"sts:AssumeRole"}
	if len(a.Tags) > 0 {
		list = append(list, "sts:TagSession")
	}
	if a.SourceIdentity != "" {
		list = append(list, "sts:SetSourceIdentity")
	}
	return list
}

// everything allows all, for the part of the caller's policies in a question
// about the trust policy alone.
var everything = parsed("everything", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)

// trusts decides whether trust policy and caller's policies allow the caller an
// action on the role. Inside an account the evaluator is content with either side;
// a role always wants its trust policy to agree, so that is asked first, as a
// role of a foreign account would be.
func (s *Service) trusts(c *Call, role *Entity, a *AssumeRole, action string) policy.Decision {
	trust := parsed(role.ARN+"#trust", role.Role.Trust)
	trust.Bindings = role.Role.Bindings
	r := policy.Request{Principal: c.Principal.Caller(), Action: action, Resource: role.ARN, Now: s.now()}
	r.Context = described(c, role.Account)
	r.Context.Add("sts:RoleSessionName", a.SessionName)
	r.Context.Add("sts:DurationSeconds", strconv.FormatInt(int64(a.Duration/time.Second), 10))
	if a.ExternalID != "" {
		r.Context.Add("sts:ExternalId", a.ExternalID)
	}
	if a.SourceIdentity != "" {
		r.Context.Add("sts:SourceIdentity", a.SourceIdentity)
	}
	var tagKeys []string
	for _, t := range a.Tags {
		r.Context.Add("aws:RequestTag/"+t.Key, t.Value)
		tagKeys = append(tagKeys, t.Key)
	}
	if len(tagKeys) > 0 {
		r.Context.AddSet(keyTagKeys, tagKeys)
	}
	if len(a.Transitive) > 0 {
		r.Context.AddSet("sts:TransitiveTagKeys", a.Transitive)
	}
	foreign := r
	foreign.Owner = "foreign"
	policies := policy.Policies{Identity: []policy.Policy{everything}, Trust: &trust}
	if d := s.evaluate(&foreign, &policies); !d.Allowed {
		return d
	}
	policies = c.Principal.Policies()
	policies.Trust = &trust
	r.Owner = string(role.Account)
	return s.evaluate(&r, &policies)
}

// begin makes the key and the token of a session.
func (s *Service) begin(in *session) (Credentials, int, error) {
	in.Secret = secret()
	creds := Credentials{KeyID: newTemporaryID(), Secret: sigv4.Secret(in.Secret), Expires: in.expires()}
	var size int
	var err error
	creds.Token, size, err = sealToken(s.keyring, creds.KeyID, in)
	return creds, size, err
}

// SessionToken makes a temporary key for the user or root who calls, with a
// long-term key. It works as long as that key does.
func (s *Service) SessionToken(ctx context.Context, c Call, d time.Duration) (Credentials, error) {
	if d == 0 {
		d = userSessionDefault
		if c.Principal.Root {
			d = sessionDefault
		}
	}
	if c.Temporary {
		return Credentials{}, denied("Cannot call GetSessionToken with session credentials")
	}
	if err := checkDuration(d, userSessionMax); err != nil {
		return Credentials{}, err
	}
	if c.Principal.Root {
		d = min(d, sessionDefault) // root sessions last an hour at most
	}
	return view(ctx, s, func(tx meta.Tx) (Credentials, error) {
		caller, err := c.Principal.Fresh(tx)
		if err != nil {
			return Credentials{}, err
		}
		now := s.birth()
		creds, _, err := s.begin(&session{
			Account: caller.Account, Subject: caller.Caller().ID, Key: c.KeyID, Issued: now.Unix(), Expires: now.Add(d).Unix(),
		})
		return creds, err
	})
}
