package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"moraine/test/internal/moraineproc"
)

// TestCompose reads the compose file, since no engine may be here to do it:
// what is named is declared, no secret is in it, and both nodes are alike.
func TestCompose(t *testing.T) {
	t.Parallel()
	root, err := moraineproc.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "packaging", "docker")
	text, err := os.ReadFile(filepath.Join(dir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Environment map[string]string
			Volumes     []string
			Secrets     []string
			Networks    []string
			Healthcheck any
		}
		Volumes, Networks, Secrets map[string]any
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name, s := range file.Services {
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, ok := file.Volumes[source]; !ok && !strings.HasPrefix(source, "./") {
				t.Errorf("%s uses the volume %s, which is not declared", name, source)
			}
			if strings.HasPrefix(source, "./") {
				if _, err := os.Stat(filepath.Join(dir, source)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for _, n := range s.Networks {
			if _, ok := file.Networks[n]; !ok {
				t.Errorf("%s is in the network %s, which is not declared", name, n)
			}
		}
		for _, x := range s.Secrets {
			if _, ok := file.Secrets[x]; !ok {
				t.Errorf("%s wants the secret %s, which is not declared", name, x)
			}
		}
		for key, value := range s.Environment {
			secret := strings.Contains(key, "SECRET") || strings.Contains(key, "PASSWORD")
			if secret && !strings.HasPrefix(value, "${") {
				t.Errorf("%s has %s in the clear", name, key)
			}
		}
	}
	one, two := file.Services["one"], file.Services["two"]
	if len(one.Environment) == 0 || fmt.Sprint(one.Environment) != fmt.Sprint(two.Environment) {
		t.Errorf("the nodes differ: %v and %v", one.Environment, two.Environment)
	}

	example, err := os.ReadFile(filepath.Join(dir, "example.env"))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, m := range regexp.MustCompile(`\$\{([A-Z0-9_]+):\?\}`).FindAllStringSubmatch(string(text), -1) {
		asked = append(asked, m[1])
	}
	slices.Sort(asked)
	for _, name := range slices.Compact(asked) {
		if !strings.Contains(string(example), "\n"+name+"=") {
			t.Errorf("example.env lacks %s", name)
		}
	}
}
