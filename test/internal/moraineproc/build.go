// Package moraineproc builds, starts, watches, kills and stops a real moraine
// process, the way an operator would: by its command line. It knows flags,
// environment variables and signals; it must not import the server's packages.
package moraineproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// BinaryEnv names a ready server binary to use instead of building one.
const BinaryEnv = "TEST_SERVER_BINARY"

// Build compiles cmd/moraine into dir and returns the path of the binary.
func Build(ctx context.Context, dir string) (string, error) {
	if ready := os.Getenv(BinaryEnv); ready != "" {
		return ready, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "moraine")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/moraine")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return binary, nil
}

// Root finds the module from the working directory, which for a test is
// its package; a command may also be run from any folder below the root. With
// -trimpath the source path is no path, so it is only the second choice.
func Root() (string, error) {
	starts := []string{}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "cmd", "moraine")); err == nil {
				return dir, nil
			}
		}
	}
	return "", errors.New("no folder above holds cmd/moraine")
}

// Main builds the program into *binary, and what more a suite needs, then runs
// its tests and returns their exit status. What was built is removed.
func Main(run func() int, binary *string, more func(ctx context.Context) error) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "moraine")
	if err == nil {
		defer os.RemoveAll(dir)
		*binary, err = Build(ctx, dir)
	}
	if err == nil {
		err = more(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}
