package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
)

const identityARN = "arn:aws:iam::" + serverAccount + ":"

// caller is somebody with a key: its clients of the three services, all
// unmodified SDK clients pointed at the current server.
type caller struct {
	iam     *iam.Client
	sts     *sts.Client
	glacier *glacier.Client
}

// rootCaller is the root of the account.
func rootCaller() *caller {
	return newCaller(credentials.NewStaticCredentialsProvider(serverKeyID, serverSecret, ""), serverRegion)
}

func newCaller(keys aws.CredentialsProvider, region string) *caller {
	endpoint := aws.String("http://" + servers["current"].Addr)
	return &caller{
		iam:     iam.New(iam.Options{BaseEndpoint: endpoint, Region: region, Credentials: keys, RetryMaxAttempts: 1}),
		sts:     sts.New(sts.Options{BaseEndpoint: endpoint, Region: region, Credentials: keys, RetryMaxAttempts: 1}),
		glacier: glacier.New(glacier.Options{BaseEndpoint: endpoint, Region: region, Credentials: keys, RetryMaxAttempts: 1}),
	}
}

// createUser makes a user of that name and removes it with the test.
func (c *caller) createUser(t *testing.T, name string) *iamtypes.User {
	t.Helper()
	out, err := c.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := c.iam.DeleteUser(context.Background(), &iam.DeleteUserInput{UserName: &name})
		var gone *iamtypes.NoSuchEntityException
		if err != nil && !errors.As(err, &gone) {
			t.Error(err)
		}
	})
	return out.User
}

// key makes an access key of a user and removes it with the test.
func (c *caller) key(t *testing.T, user string) *iamtypes.AccessKey {
	t.Helper()
	out, err := c.iam.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &user})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := c.iam.DeleteAccessKey(context.Background(), &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: out.AccessKey.AccessKeyId})
		var gone *iamtypes.NoSuchEntityException
		if err != nil && !errors.As(err, &gone) {
			t.Error(err)
		}
	})
	return out.AccessKey
}

// as is whoever has the key.
func as(k *iamtypes.AccessKey, region string) *caller {
	return newCaller(credentials.NewStaticCredentialsProvider(*k.AccessKeyId, *k.SecretAccessKey, ""), region)
}

// inline puts an inline policy on a user and removes it with the test.
func (c *caller) inline(t *testing.T, user, document string) {
	t.Helper()
	in := &iam.PutUserPolicyInput{UserName: &user, PolicyName: aws.String("inline"), PolicyDocument: &document}
	if _, err := c.iam.PutUserPolicy(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := c.iam.DeleteUserPolicy(context.Background(), &iam.DeleteUserPolicyInput{UserName: &user, PolicyName: in.PolicyName})
		var gone *iamtypes.NoSuchEntityException
		if err != nil && !errors.As(err, &gone) {
			t.Error(err)
		}
	})
}

// document is a policy with one statement that allows.
func document(resource string, actions ...string) string {
	text, err := json.Marshal(map[string]any{
		"Version":   "2012-10-17",
		"Statement": map[string]any{"Effect": "Allow", "Action": actions, "Resource": resource},
	})
	if err != nil {
		panic(err) // strings always encode
	}
	return string(text)
}

// trust is a trust policy that lets a principal assume the role.
func trust(principal string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}]}`, principal)
}

// wantError wants err to be of the SDK's type E and to read as it should.
func wantError[E interface {
	error
	ErrorMessage() string
}](t *testing.T, what string, err error, message string) {
	t.Helper()
	var typed E
	switch {
	case !errors.As(err, &typed):
		t.Errorf("%s: got %v, want a %T", what, err, typed)
	case typed.ErrorMessage() != message:
		t.Errorf("%s:\n got %s\nwant %s", what, typed.ErrorMessage(), message)
	}
}

// apiError is an error that the SDK has no type for.
type apiError interface {
	error
	ErrorCode() string
	ErrorMessage() string
}

// wantCode wants err to be an API error with that code and message.
func wantCode(t *testing.T, what string, err error, code, message string) {
	t.Helper()
	var e apiError
	switch {
	case !errors.As(err, &e):
		t.Errorf("%s: got %v, want %s", what, err, code)
	case e.ErrorCode() != code || e.ErrorMessage() != message:
		t.Errorf("%s:\n got %s: %s\nwant %s: %s", what, e.ErrorCode(), e.ErrorMessage(), code, message)
	}
}

// exactly compares values, also what they keep for themselves.
func exactly(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// ok fails the test on an error, and is for calls whose result is not looked
// at.
func ok[T any](t *testing.T) func(T, error) {
	t.Helper()
	return func(_ T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// pager is a paginator of the SDK.
type pager[T any] interface {
	HasMorePages() bool
	NextPage(ctx context.Context, opts ...func(*iam.Options)) (T, error)
}

// collect walks a list to its end and returns the sizes of its pages with its
// items.
func collect[T, I any](t *testing.T, pages pager[T], items func(T) []I) (sizes []int, all []I) {
	t.Helper()
	const pagesMax = 100
	for range pagesMax {
		if !pages.HasMorePages() {
			return sizes, all
		}
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list := items(page)
		sizes, all = append(sizes, len(list)), append(all, list...)
	}
	t.Fatalf("more than %d pages", pagesMax)
	return nil, nil
}

// names maps a list to one member of its items.
func names[I any](list []I, name func(I) *string) []string {
	out := []string{}
	for _, item := range list {
		out = append(out, aws.ToString(name(item)))
	}
	return out
}
