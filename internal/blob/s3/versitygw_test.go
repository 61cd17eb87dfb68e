package s3_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/s3"
	"moraine/internal/gatewaytest"
)

// newGateway starts versitygw on files below a directory of the test. It is the
// store that must be there where CI is set.
func newGateway(t testing.TB) s3.Config {
	t.Helper()
	return s3.Config{
		Bucket: bucketName, Prefix: "some/prefix", Endpoint: gatewaytest.New(t, bucketName).URL, Region: gatewaytest.Region, PathStyle: true,
		AccessKeyID: gatewaytest.KeyID, SecretAccessKey: gatewaytest.Secret, RetryDelay: time.Millisecond,
	}
}

// rawClient looks into the store past the package.
func rawClient(cfg s3.Config) *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(cfg.Endpoint), Region: cfg.Region, UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		HTTPClient:                 &http.Client{},
	})
}

// TestVersitygw runs the suite over a real store.
func TestVersitygw(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := open(t, newGateway(t))
		notes, err := s.Probe(t.Context())
		if err != nil || len(notes) > 0 {
			t.Fatalf("Probe: %v, %v", notes, err)
		}
		return s
	})
}
