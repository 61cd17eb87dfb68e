package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"moraine/internal/config"
)

const topicPrefix = "arn:aws:sns:us-east-1:210987654321:"

func TestNotifyTargets(t *testing.T) {
	t.Parallel()
	list := topicPrefix + "a=https://hooks.example/x?k=v&l=a=b, " + topicPrefix + "b=sns+http://localhost:9911," +
		topicPrefix + "c=nats://nats.example:4222/moraine.done," + topicPrefix + "d=tls://[2606::1]:4222/x"
	c, err := load(t, []string{"--notify-targets=" + list}, []string{
		"MORAINE_NOTIFY_WEBHOOK_SECRET=x", "MORAINE_NOTIFY_SNS_ACCESS_KEY_ID=a", "MORAINE_NOTIFY_SNS_SECRET_ACCESS_KEY=b",
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []config.NotifyTarget{
		{Topic: topicPrefix + "a", Kind: config.NotifyWebhook, URL: "https://hooks.example/x?k=v&l=a=b"},
		{Topic: topicPrefix + "b", Kind: config.NotifySNS, URL: "http://localhost:9911"},
		{Topic: topicPrefix + "c", Kind: config.NotifyNATS, URL: "nats://nats.example:4222", Subject: "moraine.done"},
		{Topic: topicPrefix + "d", Kind: config.NotifyNATS, URL: "tls://[2606::1]:4222", Subject: "x"},
	}
	if diff := cmp.Diff(want, c.Notify.Targets, cmpopts.IgnoreUnexported(config.NotifyTarget{})); diff != "" {
		t.Errorf("targets: want (-), got (+):\n%s", diff)
	}
	if text := c.Print(); !strings.Contains(text, "nats.example:4222/moraine.done") || strings.Contains(text, "secret_access_key") {
		t.Errorf("printed:\n%s", text)
	}
}

func TestNotifyFaults(t *testing.T) {
	t.Parallel()
	const hook = topicPrefix + "a=https://token.example/token"
	for name, c := range map[string]struct {
		targets string
		environ []string
		want    string
	}{
		"no URL":      {topicPrefix + "a", nil, "topic=URL"},
		"no topic":    {"https://token.example/", nil, "topic=URL"},
		"no host":     {topicPrefix + "a=https:///token", nil, "host"},
		"user":        {topicPrefix + "a=nats://token@h/x", nil, "without user"},
		"scheme":      {topicPrefix + "a=ftp://h/token", nil, "begins with ftp:"},
		"twice":       {hook + "," + hook, nil, "two targets"},
		"no subject":  {topicPrefix + "a=nats://h/", nil, "no subject"},
		"wildcard":    {topicPrefix + "a=nats://h/a.>", nil, "no subject"},
		"no secret":   {hook, nil, "must be signed"},
		"no key":      {topicPrefix + "a=sns+https://h/", nil, "SNS_ACCESS_KEY_ID"},
		"half a key":  {"", []string{"MORAINE_NOTIFY_SNS_ACCESS_KEY_ID=a"}, "go together"},
		"two secrets": {"", []string{"MORAINE_NOTIFY_WEBHOOK_SECRET=a", "MORAINE_NOTIFY_WEBHOOK_SECRET_FILE=b"}, "exclude each other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, []string{"--notify-targets=" + c.targets}, c.environ, "")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "token") {
				t.Errorf("error %v, want one with %q and without the URL", err, c.want)
			}
		})
	}
}
