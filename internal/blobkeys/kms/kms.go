// Package kms is a master of wrapping keys that is a key of AWS KMS, or of
// whatever speaks its API.
//
// It knows the SDK. It must not know when keys are made, nor what they wrap.
package kms

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"moraine"
)

// Config is what a Master is made of.
type Config struct {
	Key    string // required: ARN of the key
	Region string // required: that of the ARN
	// Endpoint is where KMS is asked. "": that of AWS for the region.
	Endpoint string
	// Credentials sign the requests. Zero: those that the AWS SDK finds, in the
	// environment, in the files of the user, or from the machine it runs on.
	Credentials aws.CredentialsProvider
}

// Master is a blobkeys.Master.
type Master struct {
	key    string
	client *kms.Client
}

// Open assembles a Master. It may read the settings of the AWS SDK, and sends
// nothing.
func Open(ctx context.Context, cfg Config) (*Master, error) {
	options := []func(*config.LoadOptions) error{config.WithRegion(cfg.Region)}
	if cfg.Credentials != nil {
		options = append(options, config.WithCredentialsProvider(cfg.Credentials))
	}
	found, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	client := kms.NewFromConfig(found, func(o *kms.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
	})
	return &Master{key: cfg.Key, client: client}, nil
}

// Name is the ARN of the key.
func (m *Master) Name() string { return "kms:" + m.key }

// encryptionContext binds a wrapped key to its id, and is what the log of KMS
// shows of a request. Format: never change.
func encryptionContext(id string) map[string]string {
	return map[string]string{"moraine:blob-key": id}
}

// Wrap implements blobkeys.Master.
func (m *Master) Wrap(ctx context.Context, id string, key []byte) ([]byte, error) {
	out, err := m.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &m.key, Plaintext: key, EncryptionContext: encryptionContext(id)})
	if err != nil {
		return nil, translate(err)
	}
	return out.CiphertextBlob, nil
}

// Unwrap implements blobkeys.Master. KMS uses the named key and no other.
func (m *Master) Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error) {
	out, err := m.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &m.key, CiphertextBlob: wrapped, EncryptionContext: encryptionContext(id)})
	if err != nil {
		return nil, translate(err)
	}
	return out.Plaintext, nil
}

// translate gives an error of the SDK a kind. What nobody answered, and what
// the service says about itself, may be otherwise later.
func translate(err error) error {
	var wrong *types.InvalidCiphertextException
	var other *types.IncorrectKeyException
	var missing *types.NotFoundException
	var disabled *types.DisabledException
	var api smithy.APIError
	switch {
	case errors.As(err, &wrong), errors.As(err, &other):
		return moraine.Wrap(err, moraine.Corrupt, "KMS says that its key did not wrap this")
	case errors.As(err, &missing):
		return moraine.Wrap(err, moraine.NotFound, "KMS has no such key")
	case errors.As(err, &disabled):
		return moraine.Wrap(err, moraine.Denied, "the key of KMS is disabled")
	case errors.As(err, &api) && denials[api.ErrorCode()]:
		return moraine.Wrap(err, moraine.Denied, "KMS refuses to use the key")
	}
	return moraine.Wrap(err, moraine.Unavailable, "KMS cannot be asked now")
}

// denials are the codes that say no to whoever asks.
var denials = map[string]bool{
	"AccessDeniedException": true, "UnrecognizedClientException": true, "InvalidSignatureException": true,
	"MissingAuthenticationTokenException": true, "IncompleteSignature": true, "InvalidClientTokenId": true,
	"ExpiredTokenException": true, "InvalidKeyUsageException": true, "ValidationException": true, "InvalidArnException": true,
	"KMSInvalidStateException": true, "OptInRequired": true, "SignatureDoesNotMatch": true,
}
