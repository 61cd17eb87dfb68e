package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/policy"
	"moraine/internal/seal"
)

// Config is what a Service is made of.
type Config struct {
	Meta    meta.Store       // required
	Keyring *seal.Keyring    // required
	Root    Root             // required: the root identity that needs no rows
	Now     func() time.Time // zero: time.Now
	Log     *slog.Logger     // zero: discard; gets changes of privileges
	// Unreadable is told of each decision that was made by a stored policy which
	// does not parse. Zero: nobody.
	Unreadable func(resource string, d policy.Decision)
	// Shared says that other processes may have the rows, so that Open refuses
	// another root key than theirs. Zero: the root key may change with any start.
	Shared bool
	// NewRoot has the root key of this process take the place of that of all,
	// with Shared.
	NewRoot bool
}

// Service is the operations on identities.
type Service struct {
	*Directory
	log        *slog.Logger
	unreadable func(resource string, d policy.Decision)
	shared     bool
	newRoot    bool
}

// New assembles a Service and touches nothing.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		Directory: &Directory{
			rows: cfg.Meta, keyring: cfg.Keyring, root: cfg.Root, now: cfg.Now, used: make(map[string]moraine.KeyUse),
		},
		log: cfg.Log, unreadable: cfg.Unreadable, shared: cfg.Shared, newRoot: cfg.NewRoot,
	}
}

// sampleKey is the id of a row among the access keys that no request can name.
// Its secret is known, so the master keys can be tried on it. Format: never
// change.
const (
	sampleKey  = "SAMPLE"
	sampleText = "moraine"
)

// rootSampleKey is the id of another such row, whose sealed text tells the root
// key of the processes that share the rows. Format: never change.
const rootSampleKey = "ROOT"

// Sealed reports whether the rows hold anything that needs master keys.
func Sealed(ctx context.Context, rows meta.Store) (sealed bool, err error) {
	err = rows.View(ctx, func(tx meta.Tx) error {
		_, err := tx.AccessKeys().Get(sampleKey)
		sealed = err == nil
		if errors.Is(err, meta.ErrNotFound) {
			return nil
		}
		return err
	})
	return sealed, err
}

// Open makes the row of the root's account if there is none, and tries the
// master keys, so that the wrong ones are noticed at the start, and those of a
// process that shares the rows with others and was given keys or an account of
// its own.
func (s *Service) Open(ctx context.Context) error {
	return s.rows.Update(ctx, func(tx meta.Tx) error {
		if err := s.tryMaster(tx); err != nil || !s.shared {
			return err
		}
		return s.tryRoot(tx)
	})
}

// tryMaster tries the master keys on the sample.
func (s *Service) tryMaster(tx meta.Tx) error {
	sample, none := tx.AccessKeys().Get(sampleKey)
	if none == nil && sample.Account != s.root.Account {
		return moraine.Errorf(moraine.Invalid,
			"the rows belong to account %s and cannot change to %s; set account_id to the first, the same for all processes that share the rows", sample.Account, s.root.Account)
	}
	_, err := tx.Accounts().Get(s.root.Account)
	if errors.Is(err, meta.ErrNotFound) {
		err = tx.Accounts().Insert(moraine.Account{ID: s.root.Account, Created: s.instant()})
	}
	if err != nil {
		return err
	}
	switch {
	case errors.Is(none, meta.ErrNotFound):
		sample = moraine.AccessKey{ID: sampleKey, Account: s.root.Account, Created: s.instant()}
	case none != nil:
		return none
	default:
		if _, err := s.keyring.Open(sample.Sealed, secretName(sampleKey)); err != nil {
			return moraine.Wrap(err, moraine.Corrupt,
				"secrets in the rows are sealed with the master key %s, which is not among those of this process, the first of which is %s; give all processes that share the rows the same master_key_file",
				seal.NameOf(sample.Sealed), s.keyring.Name())
		}
		if seal.NameOf(sample.Sealed) == s.keyring.Name() {
			return nil
		}
	}
	// Sealed with the newest key, the sample tells the next process that has
	// only older ones that it lacks this one.
	sample.Sealed = s.keyring.Seal([]byte(sampleText), secretName(sampleKey))
	return tx.AccessKeys().Save(sample)
}

// tryRoot compares the root key with that of the processes that share the rows.
func (s *Service) tryRoot(tx meta.Tx) error {
	row, none := tx.AccessKeys().Get(rootSampleKey)
	mine := s.root.sample()
	switch {
	case errors.Is(none, meta.ErrNotFound):
		row = moraine.AccessKey{ID: rootSampleKey, Account: s.root.Account, Created: s.instant()}
	case none != nil:
		return none
	default:
		held, err := open(s.keyring, row.Sealed, secretName(rootSampleKey))
		if err != nil {
			return err
		}
		switch same := subtle.ConstantTimeCompare(held, mine) == 1; {
		case !same && !s.newRoot:
			id, _, _ := strings.Cut(string(held), "\n")
			return moraine.Errorf(moraine.Invalid,
				"the servers that share the rows go by another root key than this one: theirs has the id %s, and this one was given %s; set MORAINE_ROOT_ACCESS_KEY_ID and MORAINE_ROOT_SECRET_ACCESS_KEY to the same for all, or start with --new-root-key to change the key of all",
				id, s.root.KeyID)
		case same && seal.NameOf(row.Sealed) == s.keyring.Name():
			return nil
		}
	}
	row.Sealed = s.keyring.Seal(mine, secretName(rootSampleKey))
	return tx.AccessKeys().Save(row)
}

// sample is what tells the key of a root from others: its id and the SHA-256 of
// its secret. Format: never change.
func (r *Root) sample() []byte {
	sum := sha256.Sum256(r.Secret)
	return []byte(r.KeyID + "\n" + hex.EncodeToString(sum[:]))
}

// Call is who asks for an operation, and how.
type Call struct {
	Principal access.Principal
	KeyID     string // that the request was signed with
	// Temporary says that the key belongs to a session.
	Temporary bool
	// Keys are the condition keys of the request that are not the principal's,
	// such as aws:SourceIp.
	Keys map[string]string
}

// Page says which part of a list is wanted.
type Page struct {
	Marker   string // from the page before; "" for the start
	MaxItems int    // 1 to 1000
}

// instant is now as rows keep it.
func (s *Service) instant() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// birth is now as identities show it, whose dates have whole seconds.
func (s *Service) birth() time.Time { return s.now().UTC().Truncate(time.Second) }

// authorize decides whether the caller may perform an action, in the form
// "iam:CreateUser", on the entity with that ARN in its own account, as caller
// and policies are in the transaction that acts. extra are pairs of condition keys and values.
func (s *Service) authorize(tx meta.Tx, c *Call, action, arn string, extra ...string) error {
	fresh, err := c.Principal.Fresh(tx)
	if err != nil {
		return err
	}
	c.Principal = fresh
	p := &c.Principal
	r := policy.Request{Principal: p.Caller(), Action: action, Resource: arn, Owner: string(p.Account), Now: s.now()}
	r.Context = described(c, p.Account)
	var tagKeys []string
	for i := 0; i+1 < len(extra); i += 2 {
		if extra[i] == keyTagKeys {
			tagKeys = append(tagKeys, extra[i+1])
			continue
		}
		r.Context.Add(extra[i], extra[i+1])
	}
	if len(tagKeys) > 0 {
		r.Context.AddSet(keyTagKeys, tagKeys)
	}
	policies := p.Policies()
	if d := s.evaluate(&r, &policies); !d.Allowed {
		return moraine.Wrap(&access.Refusal{Decision: d}, moraine.Denied, "%s", d.Denial(&r))
	}
	return nil
}

// evaluate is policy.Evaluate, and tells of policies that do not parse.
func (s *Service) evaluate(r *policy.Request, p *policy.Policies) policy.Decision {
	d := policy.Evaluate(r, p)
	if d.Reason == policy.ReasonUnreadable && s.unreadable != nil {
		s.unreadable(r.Resource, d)
	}
	return d
}

// keyTagKeys is the one condition key with many values.
const keyTagKeys = "aws:TagKeys"

// requestTags are the condition keys of tags that a request carries.
func requestTags(tags []moraine.Tag) []string {
	var pairs []string
	for _, t := range tags {
		pairs = append(pairs, "aws:RequestTag/"+t.Key, t.Value, keyTagKeys, t.Key)
	}
	return pairs
}

// resourceTags are the condition keys of the tags of an entity.
func resourceTags(tags []moraine.Tag) []string {
	var pairs []string
	for _, t := range tags {
		pairs = append(pairs, "aws:ResourceTag/"+t.Key, t.Value, "iam:ResourceTag/"+t.Key, t.Value)
	}
	return pairs
}

// described is the context of a call with what is known of the principal.
func described(c *Call, owner moraine.AccountID) policy.Context {
	var ctx policy.Context
	for key, value := range c.Keys {
		ctx.Add(key, value)
	}
	c.Principal.Describe(&ctx)
	ctx.Add("aws:ResourceAccount", string(owner))
	return ctx
}

// privileged logs an operation that may widen what somebody may do
// (access-control §2.5).
func (s *Service) privileged(ctx context.Context, c *Call, action, target string) {
	s.log.LogAttrs(ctx, slog.LevelWarn, "privileged change",
		slog.String("action", action), slog.String("by", c.Principal.ARN), slog.String("target", target))
}

// view runs a reading operation.
func view[T any](ctx context.Context, s *Service, fn func(tx meta.Tx) (T, error)) (v T, err error) {
	err = s.rows.View(ctx, func(tx meta.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v, err
}

// update runs a changing operation, maybe more than once.
func update[T any](ctx context.Context, s *Service, fn func(tx meta.Tx) (T, error)) (v T, err error) {
	err = s.rows.Update(ctx, func(tx meta.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return v, nil
}

// change is update without a result.
func (s *Service) change(ctx context.Context, fn func(tx meta.Tx) error) error {
	return s.rows.Update(ctx, fn)
}

// Markers begin with a letter, so that no command line takes one for an
// option.
const markerTag = "m"

// cut returns a page of a list that is in memory. The marker is an index,
// which is right as long as the list stands still.
func cut[T any](list []T, p Page) (page []T, next string, err error) {
	first := 0
	if p.Marker != "" {
		text, ok := strings.CutPrefix(p.Marker, markerTag)
		if first, err = strconv.Atoi(text); err != nil || !ok || first < 0 {
			return nil, "", invalidMarker()
		}
	}
	first = min(first, len(list))
	page = list[first:]
	if len(page) > p.MaxItems {
		page = page[:p.MaxItems]
		next = markerTag + strconv.Itoa(first+p.MaxItems)
	}
	return page, next, nil
}

func invalidMarker() error { return failf(InvalidInput, "Invalid Marker.") }

// afterName reads the marker of a list in order of name.
func afterName(p Page) (string, error) {
	if p.Marker == "" {
		return "", nil
	}
	name, ok := strings.CutPrefix(p.Marker, markerTag)
	if !ok || name == "" {
		return "", invalidMarker()
	}
	return name, nil
}

// pageOf collects a page of the rows of one kind that keep selects. A page with
// long rows ends early, as the API permits.
func pageOf[T any](tx meta.Tx, a moraine.AccountID, kind moraine.IdentityKind, p Page, keep func(moraine.Identity) (T, bool, error)) (page []T, next string, err error) {
	after, err := afterName(p)
	if err != nil {
		return nil, "", err
	}
	last, bytes := "", 0
	err = walk(tx, a, kind, after, func(row moraine.Identity) (bool, error) {
		v, ok, err := keep(row)
		if err != nil || !ok {
			return true, err
		}
		if bytes += len(row.Document); len(page) == p.MaxItems || len(page) > 0 && bytes > pageBytesMax {
			next = markerTag + last
			return false, nil
		}
		page, last = append(page, v), row.Name
		return true, nil
	})
	return page, next, err
}
