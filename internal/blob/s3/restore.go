package s3

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"moraine"
)

// Restore implements blob.Restorer. It asks what state the object is in, and for
// its restoration if nobody did.
func (s *Store) Restore(ctx context.Context, b moraine.BlobRef, tier moraine.Tier, days int) (bool, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	at, err := parseRef(b)
	if err != nil {
		return false, err
	}
	key := at.object().key()
	call, cancel := limited(ctx, 0)
	defer cancel()
	head, err := s.bucket.api.HeadObject(call, &awss3.HeadObjectInput{Bucket: &s.bucket.name, Key: s.bucket.key(key)})
	if err != nil {
		// The answer has no body, so whether it is the object that is missing or
		// the whole bucket is for those who read it to find out.
		if statusOf(err) == http.StatusNotFound {
			return true, nil
		}
		return false, s.bucket.fail(ctx, err, key)
	}
	if !Cold(string(head.StorageClass)) {
		return true, nil
	}
	now, _ := awsmiddleware.GetServerTime(head.ResultMetadata)
	state := parseRestore(aws.ToString(head.Restore))
	switch {
	case state.ongoing:
		return false, nil
	case state.restored && (state.until.IsZero() || state.until.Sub(now) > time.Duration(days-1)*24*time.Hour):
		return true, nil
	}
	// It is cold, or was restored for somebody else and not for long enough: to ask
	// again changes the time.
	_, err = s.bucket.api.RestoreObject(call, &awss3.RestoreObjectInput{
		Bucket: &s.bucket.name, Key: s.bucket.key(key),
		RestoreRequest: &types.RestoreRequest{
			Days: aws.Int32(int32(days)), GlacierJobParameters: &types.GlacierJobParameters{Tier: restoreTier(head.StorageClass, tier)},
		},
	})
	switch {
	case codeOf(err) == "RestoreAlreadyInProgress":
		return false, nil
	case err != nil:
		return false, s.bucket.fail(ctx, err, key)
	}
	s.stats.restores.Add(1)
	return state.restored, nil
}

// restoreTier is the tier of a retrieval in the words of the store. The coldest
// class has no Expedited: the next best is asked for.
func restoreTier(class types.StorageClass, tier moraine.Tier) types.Tier {
	switch {
	case tier == moraine.Bulk:
		return types.TierBulk
	case tier == moraine.Expedited && class != types.StorageClassDeepArchive:
		return types.TierExpedited
	}
	return types.TierStandard
}

// restoration is what the header x-amz-restore says.
type restoration struct {
	ongoing  bool
	restored bool
	until    time.Time // zero if it does not say
}

// parseRestore reads a header like
//
//	ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"
func parseRestore(header string) (r restoration) {
	_, rest, ok := strings.Cut(header, `ongoing-request="`)
	if !ok {
		return r
	}
	r.ongoing = strings.HasPrefix(rest, "true")
	r.restored = strings.HasPrefix(rest, "false")
	if _, date, ok := strings.Cut(header, `expiry-date="`); ok {
		date, _, _ = strings.Cut(date, `"`)
		r.until, _ = http.ParseTime(date) // zero if it cannot be read
	}
	return r
}
