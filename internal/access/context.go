package access

import (
	"errors"
	"strconv"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Condition keys that describe fills besides those of Principal.Describe; the
// rest follow from the principal and the time (access-control §4.3).
const (
	keyArchiveAge      = "glacier:ArchiveAgeInDays"
	keyGlacierTag      = "glacier:ResourceTag/"
	keyResourceTag     = "aws:ResourceTag/"
	keyRequestTag      = "aws:RequestTag/"
	keyTagKeys         = "aws:TagKeys"
	keyRequestedRegion = "aws:RequestedRegion"
	keyResourceAccount = "aws:ResourceAccount"
	keySecureTransport = "aws:SecureTransport"
	keySourceIP        = "aws:SourceIp"
	keyUserAgent       = "aws:UserAgent"
	keyReferer         = "aws:Referer"
	keyIsService       = "aws:PrincipalIsAWSService"
	keyViaService      = "aws:ViaAWSService"
)

// describe fills the condition keys of an act.
func (a *Authority) describe(tx meta.Tx, r *policy.Request, call *Call, act *Act, g *Grant, docs *documents) error {
	c := &r.Context
	call.Principal.Describe(c)
	c.Add(keyRequestedRegion, string(g.region))
	c.Add(keyResourceAccount, string(g.Account))
	c.Add(keyIsService, "false")
	c.Add(keyViaService, "false")
	c.Add(keySecureTransport, strconv.FormatBool(call.Secure))
	addText(c, keySourceIP, call.Source)
	addText(c, keyUserAgent, Clip(call.UserAgent))
	addText(c, keyReferer, Clip(call.Referer))
	if docs != nil {
		for _, t := range docs.tags {
			c.Add(keyGlacierTag+t.Key, t.Value)
			c.Add(keyResourceTag+t.Key, t.Value)
		}
	}
	for _, t := range act.Tags {
		c.Add(keyRequestTag+t.Key, t.Value)
	}
	c.AddSet(keyTagKeys, act.TagKeys)
	if act.Archive == "" || !g.found {
		return nil
	}
	archive, err := tx.Archives().Get(act.Archive)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return nil
	case err != nil:
		return err
	case archive.Vault == g.vault.ID && archive.Deleted.IsZero():
		c.Add(keyArchiveAge, strconv.FormatInt(AgeDays(&archive, r.Now), 10))
	}
	return nil
}

func addText(c *policy.Context, key, value string) {
	if value != "" {
		c.Add(key, value)
	}
}

// AgeDays is the age of an archive in whole days of 24 hours.
func AgeDays(a *moraine.Archive, now time.Time) int64 {
	return int64(max(now.Sub(a.Created), 0) / (24 * time.Hour))
}

// headerMax bounds what conditions see of a header that clients choose freely.
const headerMax = 1024

// Clip cuts such a header to its bound.
func Clip(s string) string { return s[:min(len(s), headerMax)] }
