// Package webhook delivers messages by POST, as CloudEvents in structured JSON
// that are signed as Standard Webhooks says.
//
// It knows HTTP and the form of an event. It must not know when a message is
// due, or what a job is.
package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"moraine"
)

// typePrefix begins the type of every event.
const typePrefix = "moraine.vault."

// contentType is that of an event in structured JSON.
const contentType = "application/cloudevents+json; charset=utf-8"

// Bounds of a key, in bytes, as Standard Webhooks has them.
const (
	keyMin = 24
	keyMax = 64
)

// Key is a secret that signs messages.
type Key struct{ hook *standardwebhooks.Webhook }

// ParseKey reads a secret of the form whsec_ and base64.
func ParseKey(secret string) (Key, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(secret), "whsec_"))
	if err != nil || len(raw) < keyMin || len(raw) > keyMax {
		return Key{}, fmt.Errorf("the webhook secret is not whsec_ followed by base64 of %d to %d bytes", keyMin, keyMax)
	}
	hook, err := standardwebhooks.NewWebhookRaw(raw)
	return Key{hook}, err
}

// Config is what a Sink is made of.
type Config struct {
	URL    string           // required
	Key    Key              // required
	Client *http.Client     // required; follows no redirection
	Now    func() time.Time // zero: time.Now
}

// Sink is a notify.Sink.
type Sink struct{ cfg Config }

// New assembles a Sink and touches nothing.
func New(cfg Config) *Sink {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Sink{cfg}
}

// Deliver posts an event. Any status from 200 to 299 accepts it.
func (s *Sink) Deliver(ctx context.Context, m moraine.Message) error {
	body, err := encode(m)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	signature, err := s.cfg.Key.hook.Sign(string(m.ID), now, body)
	if err != nil {
		return fmt.Errorf("sign message: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address of the webhook is none")
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "moraine")
	r.Header.Set(standardwebhooks.HeaderWebhookID, string(m.ID))
	r.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	answer, err := s.cfg.Client.Do(r)
	if err != nil {
		return withoutURL(err)
	}
	answer.Body.Close() // what it says is of no interest
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("the webhook answered %d", answer.StatusCode)
	}
	return nil
}

// withoutURL takes the address out of an error: it may be a secret.
func withoutURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return fmt.Errorf("post message: %w", outer.Err)
	}
	return err
}

// encode is the event of a message. Its data is the body of the message as it
// is.
func encode(m moraine.Message) ([]byte, error) {
	e := event.New()
	e.SetID(string(m.ID))
	e.SetSource(m.Source)
	e.SetType(typePrefix + string(m.Event))
	e.SetSubject(string(m.Job))
	e.SetTime(m.Created)
	e.SetExtension("topic", m.Topic)
	e.SetDataContentType(event.ApplicationJSON)
	e.DataEncoded = []byte(m.Body)
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("make event: %w", err)
	}
	body, err := e.MarshalJSON() // package json would escape what is in the body
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return body, nil
}
