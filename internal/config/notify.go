package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"moraine"
)

// Notify says where messages about jobs go.
type Notify struct {
	Targets      []NotifyTarget
	AllowPrivate bool // targets may be on this machine and in private networks

	WebhookSecretFile string
	WebhookSecret     string // from the environment

	SNSKeyID, SNSSecret string // from the environment

	NATSCredentials string // file
}

// NotifyKind is what a target speaks.
type NotifyKind string

// The kinds of targets.
const (
	NotifyWebhook NotifyKind = "webhook"
	NotifySNS     NotifyKind = "sns"
	NotifyNATS    NotifyKind = "nats"
)

// notifyTargetsMax bounds the list of targets.
const notifyTargetsMax = 1000

// NotifyTarget is where the messages to one topic go.
type NotifyTarget struct {
	Topic   string // ARN
	Kind    NotifyKind
	URL     string // without what is in the other fields
	Subject string // of NATS

	text string // as it was given
}

func notifySettings() []Setting {
	group := []Setting{
		{
			Key: "notify.targets", Type: "list of topic=URL",
			Doc: "Where messages about finished jobs go, by the ARN of the topic that a vault or a job names: https://… for a webhook, sns+https://… for an endpoint that speaks the API of SNS, nats://host:port/subject or tls://host:port/subject for a stream of NATS JetStream. Messages to a topic that is not listed are kept.",
			set: func(c *Config, v string) (err error) { c.Notify.Targets, err = parseTargets(v); return err },
			get: func(c *Config) string { return printTargets(c.Notify.Targets) },
		},
		yesNo("notify.allow_private",
			"Let targets of messages be on this machine, on the local link or in a private network. Otherwise such an address is refused when it is about to be connected to.",
			func(c *Config) *bool { return &c.Notify.AllowPrivate }),
		text("notify.webhook_secret_file", "", "file",
			"File with the secret that signs messages to webhooks as Standard Webhooks says: whsec_ and base64 of 24 to 64 bytes.",
			func(c *Config) *string { return &c.Notify.WebhookSecretFile }),
		text("notify.webhook_secret", "", "secret", "The same secret, in place of the file.",
			func(c *Config) *string { return &c.Notify.WebhookSecret }),
		text("notify.sns_access_key_id", "", "access key id", "Access key id for targets that speak the API of SNS.",
			func(c *Config) *string { return &c.Notify.SNSKeyID }),
		text("notify.sns_secret_access_key", "", "secret access key",
			"Secret access key for targets that speak the API of SNS. Goes with notify.sns_access_key_id.",
			func(c *Config) *string { return &c.Notify.SNSSecret }),
		text("notify.nats_credentials_file", "", "file", "File with a JWT and a seed for targets that speak NATS. Without it no user is named.",
			func(c *Config) *string { return &c.Notify.NATSCredentials }),
	}
	for i := range group {
		switch s := &group[i]; s.Key {
		case "notify.webhook_secret", "notify.sns_secret_access_key":
			s.EnvOnly, s.Secret = true, true
		case "notify.sns_access_key_id":
			s.EnvOnly = true
		}
	}
	return group
}

// parseTargets reads a list of topic=URL.
func parseTargets(s string) ([]NotifyTarget, error) {
	var targets []NotifyTarget
	seen := make(map[string]bool)
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		t, err := parseTarget(item)
		switch {
		case err != nil:
			return nil, err
		case seen[t.Topic]:
			return nil, fmt.Errorf("the topic %s has two targets", t.Topic)
		case len(targets) == notifyTargetsMax:
			return nil, fmt.Errorf("there are more than %d targets", notifyTargetsMax)
		}
		seen[t.Topic] = true
		targets = append(targets, t)
	}
	return targets, nil
}

func parseTarget(item string) (NotifyTarget, error) {
	topic, address, ok := strings.Cut(item, "=")
	t := NotifyTarget{Topic: topic, text: item}
	if !ok || !moraine.ValidTopic(topic) {
		return t, errors.New("a target is not topic=URL; write it as in arn:aws:sns:us-east-1:210987654321:done=https://hooks.example/moraine")
	}
	// What the URL holds may be a secret: faults name the topic.
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return t, fmt.Errorf("the target of %s is not a URL with a host and without user and fragment", topic)
	}
	switch u.Scheme {
	case "http", "https":
		t.Kind, t.URL = NotifyWebhook, u.String()
		return t, nil
	case "sns+http", "sns+https":
		u.Scheme = strings.TrimPrefix(u.Scheme, "sns+")
		t.Kind, t.URL = NotifySNS, u.String()
		return t, nil
	case "nats", "tls":
		t.Kind, t.Subject = NotifyNATS, strings.TrimPrefix(u.Path, "/")
		if t.Subject == "" || strings.ContainsAny(t.Subject, "/*> \t\r\n") || u.RawQuery != "" {
			return t, fmt.Errorf("the target of %s names no subject; write it as in nats://host:4222/moraine.done", topic)
		}
		u.Path, u.RawPath = "", ""
		t.URL = u.String()
		return t, nil
	}
	return t, fmt.Errorf("the target of %s begins with %s:, where http, https, sns+http, sns+https, nats and tls are known", topic, u.Scheme)
}

func printTargets(targets []NotifyTarget) string {
	items := make([]string, len(targets))
	for i, t := range targets {
		items[i] = t.text
	}
	return strings.Join(items, ",")
}

// uses reports whether there is a target of a kind.
func (n *Notify) uses(kind NotifyKind) bool {
	for _, t := range n.Targets {
		if t.Kind == kind {
			return true
		}
	}
	return false
}

func (c *Config) checkNotify() error {
	n := &c.Notify
	switch {
	case n.WebhookSecret != "" && n.WebhookSecretFile != "":
		return errors.New("notify.webhook_secret_file and MORAINE_NOTIFY_WEBHOOK_SECRET exclude each other; set one of them")
	case n.uses(NotifyWebhook) && n.WebhookSecret == "" && n.WebhookSecretFile == "":
		return errors.New("notify.targets names a webhook, whose messages must be signed; set notify.webhook_secret_file or MORAINE_NOTIFY_WEBHOOK_SECRET")
	case (n.SNSKeyID == "") != (n.SNSSecret == ""):
		return errors.New("MORAINE_NOTIFY_SNS_ACCESS_KEY_ID and MORAINE_NOTIFY_SNS_SECRET_ACCESS_KEY go together; set both or neither")
	case n.uses(NotifySNS) && n.SNSKeyID == "":
		return errors.New("notify.targets names an endpoint of SNS, which wants signed requests; set MORAINE_NOTIFY_SNS_ACCESS_KEY_ID and MORAINE_NOTIFY_SNS_SECRET_ACCESS_KEY")
	}
	return nil
}
