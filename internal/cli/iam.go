package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"moraine/internal/iamclient"
	"moraine/internal/server"
	"moraine/internal/sigv4"
)

// endpointDefault is where a server listens that was told nothing else.
const endpointDefault = "http://127.0.0.1:8080"

// asking are the flags of a command that asks a running server by the IAM API.
type asking struct {
	e                    *env
	cmd                  *cobra.Command
	endpoint, data, user string
	json                 bool
}

const askingManual = `

A running server is asked, at --endpoint, with the key of AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. If those are not set, or --data is
given, it is the root key in the credentials file of the data directory.`

// newAsking makes a command that asks a running server. A faulty request is
// exit status 2, one that was refused or not answered 1.
func newAsking(e *env, cmd *cobra.Command, run func(*asking, *iamclient.Client, []string) error) *asking {
	a := &asking{e: e, cmd: cmd}
	cmd.Long = cmd.Short + "." + askingManual
	cmd.Flags().StringVar(&a.endpoint, "endpoint", endpointDefault, "where the server listens")
	cmd.Flags().StringVar(&a.data, "data", "./moraine-data", "data directory with the credentials file")
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return &exit{exitUsage, err}
		}
		return run(a, client, args)
	}
	return a
}

// forUser adds --user.
func (a *asking) forUser(doc string) *asking {
	a.cmd.Flags().StringVar(&a.user, "user", "", doc)
	return a
}

func (a *asking) client() (*iamclient.Client, error) {
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	return iamclient.New(iamclient.Config{Endpoint: a.endpoint, Key: key})
}

// key finds the key to sign with. A flag wins over a variable.
func (a *asking) key() (sigv4.Key, error) {
	keyID, secret := a.e.variable("AWS_ACCESS_KEY_ID"), a.e.variable("AWS_SECRET_ACCESS_KEY")
	switch given := a.cmd.Flags().Changed("data"); {
	case given || keyID == "" && secret == "":
	case keyID == "" || secret == "":
		return sigv4.Key{}, fmt.Errorf("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together, and one is not set")
	default:
		return sigv4.Key{ID: keyID, Secret: sigv4.Secret(secret), Token: sigv4.Secret(a.e.variable("AWS_SESSION_TOKEN"))}, nil
	}
	key, err := server.ReadKey(a.data)
	if err != nil {
		return key, fmt.Errorf("there is no key to sign with; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a data directory with --data: %w", err)
	}
	return key, nil
}

// variable returns an environment variable, "" if it is not set.
func (e *env) variable(name string) string {
	value := ""
	for _, pair := range e.environ() {
		if key, v, ok := strings.Cut(pair, "="); ok && key == name {
			value = v
		}
	}
	return value
}

// say prints a result, as JSON or as text.
func (a *asking) say(result any, text string) error {
	if a.json {
		return printJSON(a.e.stdout, result)
	}
	_, err := io.WriteString(a.e.stdout, text)
	return err
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// refused is the exit for an operation that did not succeed.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitFailed, err}
}

// policyTextMax bounds what is read of a policy's file; no policy is as long.
const policyTextMax = 1 << 20

// readPolicy reads a policy from a file, or from standard input for "-".
func readPolicy(name string) (string, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return "", err
		}
		defer f.Close()
	}
	text, err := io.ReadAll(io.LimitReader(f, policyTextMax+1))
	if err == nil && len(text) > policyTextMax {
		err = fmt.Errorf("%s is longer than any policy", name)
	}
	return string(text), err
}
