//go:build !linux

package load

import (
	"context"
	"errors"
)

// NewCorpus makes a corpus. Close gives its memory back.
func NewCorpus(int64) (*Corpus, error) { return nil, errors.ErrUnsupported }

// Close ends the corpus and every body cut from it.
func (c *Corpus) Close() error { return nil }

// Run does a job. It needs Linux.
func (c *Corpus) Run(context.Context, Job) (Result, error) { return Result{}, errors.ErrUnsupported }
