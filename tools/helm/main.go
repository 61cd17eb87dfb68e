// Command helm lints the chart with Helm's own rules, renders it for each file
// of values below its folder ci, decodes what comes out as Kubernetes does,
// strictly, and checks what the chart promises. With a second argument it writes
// each settings file it rendered into that directory, for the server to check.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: helm CHART [DIRECTORY]")
		os.Exit(2)
	}
	var out string
	if len(os.Args) == 3 {
		out = os.Args[2]
	}
	if err := run(os.Args[1], out); err != nil {
		fmt.Fprintln(os.Stderr, "helm:", err)
		os.Exit(1)
	}
}

func run(chart, out string) error {
	files, err := filepath.Glob(filepath.Join(chart, "ci", "*.yaml"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, errors.New("there are no values to render the chart with"))
	}
	for _, file := range files {
		values, err := readValues(file)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if err := check(chart, values, out, name); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Println("ok", file)
	}
	return refusals(chart)
}

func readValues(file string) (map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	values := make(map[string]any)
	return values, yaml.UnmarshalStrict(text, &values)
}

// check lints and renders the chart with some values.
func check(chart string, values map[string]any, out, name string) error {
	linter := lint.RunAll(chart, values, "default")
	for _, m := range linter.Messages {
		if m.Severity > support.InfoSev {
			return fmt.Errorf("lint: %w", m)
		}
	}
	texts, err := render(chart, values)
	if err != nil {
		return err
	}
	objects, err := decode(texts)
	if err != nil {
		return err
	}
	if err := promises(objects, values); err != nil {
		return err
	}
	if out == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(out, name+".yaml"), []byte(objects.settings.Data["moraine.yaml"]), 0o600)
}

// render is helm template.
func render(chart string, values map[string]any) (map[string]string, error) {
	c, err := loader.Load(chart)
	if err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: "moraine", Namespace: "default", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(c, values, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// refusals renders what must not render.
func refusals(chart string) error {
	shared := map[string]any{"meta": "postgres://u@h/d", "blobs": "s3://b/p"}
	for _, tc := range []struct {
		name   string
		values map[string]any
		want   string
	}{
		{"no root key", map[string]any{}, "existingSecret names the Secret"},
		{"no account", map[string]any{"mode": "shared", "existingSecret": "s", "shared": shared}, "accountID must be set"},
		{"no database", map[string]any{"mode": "shared", "existingSecret": "s", "accountID": "210987654321"}, "shared.meta is the URL"},
		{"an odd mode", map[string]any{"mode": "cluster", "existingSecret": "s"}, "mode"},
		{"an unknown value", map[string]any{"existingSecret": "s", "replica": 3}, "replica"},
	} {
		_, err := render(chart, tc.values)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			return fmt.Errorf("%s: the chart says %v, want %q", tc.name, err, tc.want)
		}
	}
	return nil
}
