package iamclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/iamclient"
	"moraine/internal/sigv4"
)

var key = sigv4.Key{ID: "AKIAIOSFODNN7EXAMPLE", Secret: sigv4.Secret("open sesame"), Token: sigv4.Secret("token")}

// serve answers with fn, which sees the form.
func serve(t *testing.T, fn func(w http.ResponseWriter, r *http.Request)) *iamclient.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		fn(w, r)
	}))
	t.Cleanup(s.Close)
	c, err := iamclient.New(iamclient.Config{Endpoint: s.URL, Key: key, Now: func() time.Time { return time.Unix(1700000000, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPages(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); !strings.Contains(got, "Credential=AKIAIOSFODNN7EXAMPLE/20231114/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, ") {
			t.Errorf("Authorization: %s", got)
		}
		name, next := "a", "<Marker>m1</Marker>"
		if r.Form.Get("Marker") == "m1" {
			name, next = "b", ""
		}
		fmt.Fprintf(w, `<ListUsersResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListUsersResult><Users><member><UserName>%s</UserName></member></Users>`+
			`<IsTruncated>x</IsTruncated>%s</ListUsersResult></ListUsersResponse>`, name, next)
	})
	got, err := c.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]iamclient.User{{UserName: "a"}, {UserName: "b"}}, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

func TestEndlessList(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<ListAccessKeysResponse><ListAccessKeysResult><Marker>again</Marker></ListAccessKeysResult></ListAccessKeysResponse>`)
	})
	if _, err := c.Keys(t.Context(), "bob"); err == nil || err.Error() != "the list has more than 1000 pages" {
		t.Errorf("error: %v", err)
	}
}

func TestPolicyText(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<GetUserPolicyResponse><GetUserPolicyResult><UserName>u</UserName><PolicyName>p</PolicyName><PolicyDocument>%7B%20a+b%0A%7D</PolicyDocument></GetUserPolicyResult></GetUserPolicyResponse>`)
	})
	got, err := c.Policy(t.Context(), "u", "p")
	if err != nil || got.PolicyDocument != "{ a+b\n}" {
		t.Errorf("text %q, error %v", got.PolicyDocument, err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"a refusal", 404, `<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>Nobody.</Message></Error></ErrorResponse>`, "NoSuchEntity: Nobody."},
		{"a refusal without words", 400, `<ErrorResponse><Error><Code>Oops</Code></Error></ErrorResponse>`, "Oops"},
		{"an error of another service", 400, `{"code":"BadRequest"}`, "answers with status 400 and not as IAM does"},
		{"a page", 200, `<html></html>`, "answers with status 200 and not as IAM does"},
		{"another operation", 200, `<GetUserResponse></GetUserResponse>`, "not as IAM does"},
		{"a redirect", 302, ``, "answers with status 302"},
		{"too much", 200, strings.Repeat("x", 4<<20+1), "is longer than 4194304 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(row.status)
				fmt.Fprint(w, row.body)
			})
			err := c.DeleteUser(t.Context(), "bob")
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q", err, row.want)
			}
			var refused *iamclient.Error
			if errors.As(err, &refused) && refused.Status != row.status {
				t.Errorf("status %d, want %d", refused.Status, row.status)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://x/y", "http://x?y", "http://user:pw@x", "http://x\n"} {
		if _, err := iamclient.New(iamclient.Config{Endpoint: bad}); err == nil {
			t.Errorf("endpoint %q is accepted", bad)
		}
	}
	c, err := iamclient.New(iamclient.Config{Endpoint: "http://127.0.0.1:1", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.DeleteUser(ctx, "bob"); !errors.Is(err, context.Canceled) {
		t.Errorf("error after cancelling: %v", err)
	}
}
