// Package crash proves durability from outside: it runs a real server under
// load, kills it at a random moment, starts it again on the same directory and
// compares what is there with what was acknowledged. It also fills a disk and
// flips bytes. The truth is kept in the memory of the test process; the package
// must not import the server's packages.
//
// An operation that was acknowledged must have happened. An operation that was
// in flight at the kill may have happened or not, but never by half: whatever
// is visible must be whole.
//
// The ledger holds, by noun, each in a file of its own:
//
//   - archives, uploads and parts, read back byte for byte by jobs;
//   - documents: access policies, tags, a notification configuration, the data
//     retrieval policy, read back byte for byte, and in force;
//   - locks with their policies, and the archives they retain, which root cannot
//     delete either;
//   - users, their policies and keys: a key taken away works never again;
//   - capacity units;
//   - messages about jobs: at the end each job that has ended has one at the
//     receiver for each topic, and none is about a job that has not ended;
//   - acknowledged writes: each has one record in the audit log, whose chain
//     spans all kills.
//
// Some milliseconds before a kill the workers complete locks, take keys away and
// start jobs, so that kills hit those more often than by chance. The tests whose
// names begin with TestVerifierSees give the ledger a lie each and want it found.
//
// The short run is for every commit; a long one is
//
//	go test ./test/crash -run TestKill -rounds 200 -timeout 0 -v
package crash
