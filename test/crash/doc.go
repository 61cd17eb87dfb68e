// Package crash proves durability from outside: it runs a real server under
// load, kills it at a random moment, starts it again on the same directory and
// compares what is there with what was acknowledged. It also fills a disk and
// flips bytes. The truth is kept in the memory of the test process; the package
// must not import the server's packages.
//
// An operation that was acknowledged must have happened. An operation that was
// in flight at the kill may have happened or not, but never by half: whatever
// is visible must be whole. The short run is for every commit; a long one is
//
//	go test ./test/crash -run TestKill -rounds 200 -timeout 0 -v
package crash
