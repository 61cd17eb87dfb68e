// Package move proves from outside that a house moves: the real program, with
// everything that a vault can hold in a data directory, is moved to PostgreSQL
// and a bucket while it is served, and from there into a new directory. The
// mover is killed on the way, also a server that is copying, at points that are
// told by the traffic to the two engines. Afterwards the house that was left
// refuses to be served, and in the new one every archive is retrieved and
// everything else is compared. It must not import the server's packages.
//
// The short run is for every commit; a long one is
//
//	go test ./test/move -timeout 0 -v -seed 0 -archives 100 -kills 10 -rounds 3
package move
