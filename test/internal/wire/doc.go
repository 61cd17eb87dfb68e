// Package wire speaks HTTP/1.1 and Signature Version 4 to a server byte by
// byte: a request leaves exactly as written, in the order written, and a reply
// is kept as it came. It is the tests' second opinion on the protocol, so it
// must not import the server's packages, and it does not use net/http, whose
// client repairs the very requests a test wants to get wrong.
package wire
