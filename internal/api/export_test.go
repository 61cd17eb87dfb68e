package api

import (
	"strings"

	"moraine"
)

// WireCode is the code an error kind becomes.
func WireCode(k moraine.Kind) string { return wireKinds[k].code }

// OperationNames lists the operations and whether each is on a vault.
func OperationNames() map[string]bool {
	all := make(map[string]bool)
	for _, op := range operations {
		if op.name != "" {
			all[op.name] = strings.Contains(op.path, "{v}")
		}
	}
	return all
}

// Routes lists method and path of each operation.
func Routes() map[string]string {
	all := make(map[string]string)
	for _, op := range operations {
		if op.name != "" {
			all[op.name] = op.method + " " + op.path
		}
	}
	return all
}
