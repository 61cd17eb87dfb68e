// Package api is the Glacier vault API on HTTP (version 2012-06-01).
//
// It routes on the raw path, authenticates, decodes, calls one service method
// per operation and encodes what comes back. It knows HTTP, JSON, header names
// and the one table that turns an error kind into a wire code and status. It
// must not decide anything: which parameter is refused, in which order and in
// which words is said by the services.
package api
