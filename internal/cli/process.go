package cli

import (
	"runtime"
	"strings"
)

// processorsMore is how many more threads than processors may run Go code. A
// thread that waits for a disk to sync keeps its place among them until the
// runtime notices; bytes, rows and the audit log are mostly all being synced.
// With places to spare the others go on, and the runtime need not look so
// often, which took a twentieth of the processor time of small uploads.
const processorsMore = 2

// headStart is how much is allocated in each round of the garbage collector
// besides what the live heap grants, in bytes. The live heap of a server is
// small, so that the collector would run several times a second to give back a
// few MiB. It is reserved, not touched: it takes no memory by itself.
const headStart = 16 << 20

// equip sets the Go runtime up for a server, where the environment does not say
// how it is to be. The caller keeps what it returns as long as the server runs.
func equip(environ []string) (ballast []byte) {
	if n := runtime.GOMAXPROCS(0); !isSet(environ, "GOMAXPROCS") {
		runtime.GOMAXPROCS(n + processorsMore)
	}
	if isSet(environ, "GOGC") || isSet(environ, "GOMEMLIMIT") {
		return nil
	}
	return make([]byte, headStart)
}

// isSet reports whether the environment gives a variable a value.
func isSet(environ []string, name string) bool {
	for _, variable := range environ {
		if value, ok := strings.CutPrefix(variable, name+"="); ok && value != "" {
			return true
		}
	}
	return false
}
