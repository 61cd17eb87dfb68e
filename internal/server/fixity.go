package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
	"sync"
	"time"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/adminapi"
	"moraine/internal/adminclient"
	"moraine/internal/config"
	"moraine/internal/fixity"
	"moraine/internal/meta"
)

// fixityDesk makes signed reports of what rows say of archives.
type fixityDesk struct {
	data    *data
	rows    meta.Store
	account moraine.AccountID
	region  moraine.Region
	now     func() time.Time
	program string

	mu  sync.Mutex
	key *fixity.Key // nil until it was needed; guarded by mu
}

func (d *fixityDesk) admin() *adminapi.Fixity {
	return &adminapi.Fixity{Key: d.public, Report: d.report}
}

// private returns the key of the directory, and makes it at its first use.
func (d *fixityDesk) private() (*fixity.Key, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.key != nil {
		return d.key, nil
	}
	key, err := d.data.fixityKey()
	d.key = key
	return key, err
}

// fixityKey reads the key that signs reports. If there is none it makes one,
// which is durable before anything is signed with it.
func (d *data) fixityKey() (*fixity.Key, error) {
	text, err := d.place.readSmall(d.path(fixityKeyFile))
	if err == nil {
		key, err := fixity.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; restore it from a backup", d.path(fixityKeyFile), err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of reports: %w", err)
	}
	key, err := fixity.NewKey()
	if err != nil {
		return nil, err
	}
	if text, err = key.PEM(); err != nil {
		return nil, err
	}
	return key, d.write(fixityKeyFile, string(text))
}

func (d *fixityDesk) public(context.Context) (adminapi.KeyReply, error) {
	key, err := d.private()
	if err != nil {
		return adminapi.KeyReply{}, err
	}
	text, err := key.Public()
	return adminapi.KeyReply{PEM: string(text)}, err
}

const (
	// reportPage is how many archives are read at a time.
	reportPage = 500
	// reportNameMax bounds the name of a report's file.
	reportNameMax = 255
)

// report writes the report of a vault as it is now, from one snapshot of the
// rows, and signs it. It writes nothing if there is no such vault.
func (d *fixityDesk) report(ctx context.Context, q adminapi.ReportQuery, w io.Writer) (line string, signature []byte, err error) {
	if q.Name == "" || len(q.Name) > reportNameMax || strings.ContainsAny(q.Name, "/\\\r\n") || !isPrintable(q.Name) {
		return "", nil, moraine.Errorf(moraine.Invalid, "%q is no name for the file of a report", q.Name)
	}
	owner, region := moraine.AccountID(q.Account), moraine.Region(q.Region)
	if owner == "" {
		owner = d.account
	}
	if region == "" {
		region = d.region
	}
	key, err := d.private()
	if err != nil {
		return "", nil, err
	}
	sum := fixity.NewSum(w)
	err = d.rows.View(ctx, func(tx meta.Tx) error {
		v, err := tx.Vaults().Get(owner, region, moraine.VaultName(q.Vault))
		if errors.Is(err, meta.ErrNotFound) {
			return moraine.Errorf(moraine.NotFound, "there is no vault %s", moraine.VaultARN(region, owner, q.Vault))
		}
		if err != nil {
			return err
		}
		out, err := fixity.NewWriter(sum, fixity.Format(q.Format), fixity.Header{
			VaultARN: v.ARN(), Account: v.Account, Region: v.Region, Vault: v.Name, Time: d.now(), Software: d.program,
		})
		if err != nil {
			return moraine.Wrap(err, moraine.Invalid, "%v", err)
		}
		if err := reportVault(ctx, tx, v.ID, out); err != nil {
			return err
		}
		return out.Close()
	})
	if err != nil {
		return "", nil, err
	}
	line = sum.Line(q.Name)
	return strings.TrimSuffix(line, "\n"), key.Sign(line), nil
}

func isPrintable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// endOfTime is after every instant of a row.
var endOfTime = time.UnixMilli(math.MaxInt64 / 2).UTC()

// reportVault adds the archives of a vault, page by page: memory does not depend
// on how many there are.
func reportVault(ctx context.Context, tx meta.Tx, v moraine.VaultID, out *fixity.Writer) error {
	q := meta.Scan{Vault: v, At: endOfTime, Limit: reportPage}
	for {
		var page []moraine.Archive
		err := tx.Archives().Scan(q, func(a moraine.Archive) error {
			page = append(page, a)
			return nil
		})
		if err != nil {
			return err
		}
		for i := range page {
			if !page[i].Deleted.IsZero() {
				continue
			}
			item, err := reportItem(tx, &page[i])
			if err != nil {
				return err
			}
			if err := out.Add(item); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(page) < reportPage {
			return nil
		}
		last := &page[len(page)-1]
		q.AfterCreated, q.AfterID = last.Created, string(last.ID)
	}
}

// reportItem says what the last checks of an archive's pieces found.
func reportItem(tx meta.Tx, a *moraine.Archive) (fixity.Item, error) {
	item := fixity.Item{Archive: a.ID, Size: a.Size, TreeHash: a.TreeHash, Created: a.Created, Result: fixity.Whole}
	extents, err := tx.Bodies().Extents(a.Body, 0, moraine.PartsMax)
	if err != nil {
		return item, err
	}
	next := int64(0)
	for _, e := range extents {
		if e.First == next {
			next += e.Size
		}
		verified := e.Verified
		if verified.IsZero() {
			verified = e.Blob.Time() // when its bytes came in
		}
		if item.Verified.IsZero() || verified.Before(item.Verified) {
			item.Verified = verified
		}
		if e.Fault != "" && item.Fault == "" {
			item.Result, item.Fault = fixity.Faulty, fmt.Sprintf("bytes %d to %d: %s", e.First, e.First+e.Size-1, e.Fault)
		}
	}
	if next != a.Size && item.Fault == "" {
		item.Result, item.Fault = fixity.Faulty, "its pieces do not make it up"
	}
	return item, nil
}

// FixityKey returns the public key of reports.
func FixityKey(ctx context.Context, cfg config.Config, opts Options) ([]byte, error) {
	r, err := operateFixity(ctx, cfg, opts, (*adminclient.Client).FixityKey, (*fixityDesk).public)
	return []byte(r.PEM), err
}

// Report is a signed report besides its text.
type Report struct {
	Line      string // the content of its .sha512
	Signature []byte // of Line
}

// FixityReport writes a report to w. What is written is no report before it has
// returned nil.
func FixityReport(ctx context.Context, cfg config.Config, opts Options, q adminapi.ReportQuery, w io.Writer) (Report, error) {
	pack := func(line string, signature []byte, err error) (Report, error) {
		return Report{Line: line + "\n", Signature: signature}, err
	}
	return operateFixity(ctx, cfg, opts,
		func(c *adminclient.Client, ctx context.Context) (Report, error) {
			return pack(c.FixityReport(ctx, q, w))
		},
		func(d *fixityDesk, ctx context.Context) (Report, error) { return pack(d.report(ctx, q, w)) })
}

// VerifyFixity checks a report against its line, the signature of that, and a
// public key. It needs no server.
func VerifyFixity(report io.Reader, line string, signature, publicKey []byte) error {
	public, err := fixity.ParsePublic(bytes.TrimSpace(publicKey))
	if err != nil {
		return err
	}
	return fixity.Verify(report, line, signature, public)
}

// operateFixity finds who has the data directory, and asks that server or does
// it here.
func operateFixity[T any](
	ctx context.Context, cfg config.Config, opts Options,
	running func(*adminclient.Client, context.Context) (T, error), stopped func(*fixityDesk, context.Context) (T, error),
) (reply T, err error) {
	return operate(ctx, cfg, opts, running, func(ctx context.Context, d *data, opts Options) (reply T, err error) {
		s, err := d.openStores(ctx, opts.Log, opts.Now, wanted(cfg.Storage, ""))
		if err != nil {
			return reply, err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		owner, err := d.settleAccount(cfg.Root.Account, account.Generate())
		if err != nil {
			return reply, err
		}
		return stopped(newFixityDesk(cfg, opts, d, s.rows, owner), ctx)
	})
}

func newFixityDesk(cfg config.Config, opts Options, d *data, rows meta.Store, owner moraine.AccountID) *fixityDesk {
	return &fixityDesk{data: d, rows: rows, account: owner, region: cfg.Region, now: opts.Now, program: "moraine " + opts.Version}
}
