package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"moraine/internal/blob/mirror"
	"moraine/internal/blob/s3"
	"moraine/internal/config"
)

// buckets are the stores in buckets that a data directory uses, by role. A role
// whose store is in a directory is missing.
type buckets map[string]*s3.Store

// openBuckets makes the stores in buckets. Unless nothing is to be changed it
// tries whether the buckets will do.
func openBuckets(ctx context.Context, want storageWanted, log *slog.Logger) (all buckets, notes []string, err error) {
	all = buckets{}
	defer func() {
		if err != nil {
			err = errors.Join(err, all.Close())
			all = nil
		}
	}()
	for role, place := range map[string]string{mirror.Primary: want.blobs, mirror.Second: want.mirror} {
		name, prefix, ok := config.ParseBucket(place)
		if !ok {
			continue
		}
		s, err := s3.New(ctx, bucketConfig(want.bucket, name, prefix, log.With("store", role)))
		if err != nil {
			return all, nil, err
		}
		all[role] = s
		if want.check {
			continue
		}
		more, err := s.Probe(ctx)
		if err != nil {
			return all, nil, err
		}
		notes = append(notes, more...)
	}
	return all, notes, nil
}

// bucketConfig translates the settings.
func bucketConfig(b config.Bucket, name, prefix string, log *slog.Logger) s3.Config {
	cfg := s3.Config{
		Bucket: name, Prefix: prefix, Endpoint: b.Endpoint, Region: b.Region, PathStyle: b.PathStyle,
		Class: b.Class, SSE: b.SSE, KMSKey: b.KMSKey,
		AccessKeyID: b.AccessKeyID, SecretAccessKey: b.SecretAccessKey, CredentialsFile: b.CredentialsFile, Profile: b.Profile,
		Linger: b.Linger, Log: log,
	}
	if b.Linger == 0 {
		cfg.Linger = -1 // not at all
	}
	return cfg
}

// Close closes the stores that nobody else closes.
func (b buckets) Close() error {
	var errs []error
	for _, s := range b {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// bucketTimeout bounds a look into a bucket, or a note left in it.
const bucketTimeout = 2 * time.Minute

// lookAtBucket looks into a bucket of blobs and changes nothing.
func lookAtBucket(ctx context.Context, s *s3.Store, place, role string) (blobDir, error) {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	b := blobDir{path: place, role: role, present: true, bucket: s}
	text, found, err := s.Note(ctx, identityFile)
	if err != nil {
		return b, fmt.Errorf("look into %s: %w", place, err)
	}
	if found {
		l, err := parseLabel(string(text))
		if err != nil {
			return b, fmt.Errorf("%s/%s: %w", place, identityFile, err)
		}
		b.label = &l
	}
	if b.stocked, err = s.Stocked(ctx); err != nil {
		return b, fmt.Errorf("look into %s: %w", place, err)
	}
	b.other = b.stocked
	return b, nil
}

// stickBucket makes a bucket say what it is, durably.
func stickBucket(ctx context.Context, s *s3.Store, place string, l label) error {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	if err := s.SetNote(ctx, identityFile, []byte(formatLabel(l))); err != nil {
		return fmt.Errorf("write the identity of %s: %w", place, err)
	}
	return nil
}
