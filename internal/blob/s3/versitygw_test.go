package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/s3"
)

// gateway builds versitygw from its own module, once.
var gateway = sync.OnceValues(func() (string, error) {
	const module = "github.com/versity/versitygw"
	tools := filepath.Join("..", "..", "..", "tools", "versitygw")
	list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module)
	list.Dir = tools
	version, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("version of versitygw: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(cache, "moraine-bench", "versitygw-"+string(bytes.TrimSpace(version)))
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	// Under a name of its own first: others may build it at the same time.
	fresh := fmt.Sprintf("%s.%d", binary, os.Getpid())
	build := exec.Command("go", "build", "-o", fresh, module+"/cmd/versitygw")
	build.Dir = tools
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw: %w\n%s", err, out)
	}
	return binary, os.Rename(fresh, binary)
})

// newGateway starts versitygw on files below a directory of the test. It is the
// store that must be there where CI is set.
func newGateway(t testing.TB) s3.Config {
	t.Helper()
	binary, err := gateway()
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--port", addr, "--region", "us-east-1", "--keep-alive", "--quiet", "posix", t.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID=AKID", "ROOT_SECRET_ACCESS_KEY=secret")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("versitygw says: %s", &log)
		}
	})
	cfg := s3.Config{
		Bucket: bucketName, Prefix: "some/prefix", Endpoint: "http://" + addr, Region: "us-east-1", PathStyle: true,
		AccessKeyID: "AKID", SecretAccessKey: "secret", RetryDelay: time.Millisecond,
	}
	client := rawClient(cfg)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); ; <-tick.C {
		_, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String(bucketName)})
		if err == nil {
			return cfg
		}
		if time.Now().After(deadline) {
			t.Fatalf("versitygw does not answer: %v", err)
		}
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
