package api

import "moraine"

// WireCode is the code an error kind becomes.
func WireCode(k moraine.Kind) string { return wireKinds[k].code }
