package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"moraine/internal/arn"
	"moraine/internal/config"
	"moraine/internal/egress"
	"moraine/internal/notify"
	"moraine/internal/notify/nats"
	"moraine/internal/notify/sns"
	"moraine/internal/notify/webhook"
)

// webhookSecretMax bounds the file with the secret, in bytes.
const webhookSecretMax = 4 << 10

// targets are the sinks of messages, by topic.
type targets map[string]notify.Sink

// openTargets reads the secrets that targets need and makes the sinks. It
// connects to nothing. Signatures are dated by the system clock.
func openTargets(cfg config.Notify, system func() time.Time) (targets, error) {
	key, err := webhookKey(cfg)
	if err != nil {
		return nil, err
	}
	dialer := egress.Dialer{AllowPrivate: cfg.AllowPrivate}
	sinks := make(targets, len(cfg.Targets))
	for _, t := range cfg.Targets {
		switch t.Kind {
		case config.NotifyWebhook:
			sinks[t.Topic] = webhook.New(webhook.Config{URL: t.URL, Key: key, Client: dialer.Client(), Now: system})
		case config.NotifySNS:
			sinks[t.Topic] = sns.New(sns.Config{
				Endpoint: t.URL, Region: topicRegion(t.Topic), KeyID: cfg.SNSKeyID, Secret: cfg.SNSSecret, Client: dialer.Client(),
			})
		case config.NotifyNATS:
			sinks[t.Topic] = nats.New(nats.Config{URL: t.URL, Subject: t.Subject, Credentials: cfg.NATSCredentials, Dialer: dialer})
		default:
			return nil, fmt.Errorf("notify.targets: there is nothing that speaks %s", t.Kind)
		}
	}
	return sinks, nil
}

// webhookKey reads the secret that signs messages to webhooks, if there is one.
func webhookKey(cfg config.Notify) (webhook.Key, error) {
	secret := cfg.WebhookSecret
	if cfg.WebhookSecretFile != "" {
		text, err := readSecret(cfg.WebhookSecretFile)
		if err != nil {
			return webhook.Key{}, fmt.Errorf("notify.webhook_secret_file: %w", err)
		}
		secret = text
	}
	if secret == "" {
		return webhook.Key{}, nil
	}
	return webhook.ParseKey(secret)
}

func readSecret(name string) (text string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	raw, err := io.ReadAll(io.LimitReader(f, webhookSecretMax))
	return string(raw), err
}

// topicRegion is the region that a topic's requests are signed for.
func topicRegion(topic string) string {
	if name, err := arn.Parse(topic); err == nil && name.Region != "" {
		return name.Region
	}
	return identityRegion
}

// Close gives up the connections that sinks keep.
func (t targets) Close() error {
	var errs []error
	for _, sink := range t {
		if c, ok := sink.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
