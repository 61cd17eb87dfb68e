// Package sns delivers messages to an endpoint that speaks the API of Amazon
// SNS, with its operation Publish.
//
// It knows the SDK. It must not know when a message is due, or what a job is.
package sns

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"moraine"
)

// Config is what a Sink is made of.
type Config struct {
	Endpoint string       // required: a base URL
	Region   string       // required: that of the topic
	KeyID    string       // required
	Secret   string       // required
	Client   *http.Client // required; follows no redirection
}

// Sink is a notify.Sink.
type Sink struct{ client *sns.Client }

// New assembles a Sink and touches nothing.
func New(cfg Config) *Sink {
	return &Sink{sns.New(sns.Options{
		BaseEndpoint: &cfg.Endpoint, Region: cfg.Region, HTTPClient: cfg.Client,
		Credentials: credentials.NewStaticCredentialsProvider(cfg.KeyID, cfg.Secret, ""),
		Retryer:     aws.NopRetryer{}, // the outbox tries again
	})}
}

// Deliver publishes the body to the topic, without a subject and without
// attributes (glacier-api §9.2).
func (s *Sink) Deliver(ctx context.Context, m moraine.Message) error {
	_, err := s.client.Publish(ctx, &sns.PublishInput{TopicArn: &m.Topic, Message: &m.Body})
	return err
}
