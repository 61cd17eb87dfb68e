package iamapi

import "strings"

// OperationNames lists the operations by service.
func OperationNames() map[string]string {
	all := make(map[string]string)
	for key := range operations {
		service, name, _ := strings.Cut(key, ":")
		all[name] = service
	}
	return all
}
