// Package drill does what docs/operations.md tells an operator to do with
// backups and after disasters, with the real program on both engines: it copies,
// dumps and restores, loses directories, databases and objects, runs "moraine
// fsck" and "moraine scrub", and compares every archive that was acknowledged. It
// must not import the server's packages.
//
//	go test ./test/drill -v                                 # what was seen, step by step
//	go test ./test/drill -v -long -archives 16              # as docs/operations.md has it
//	go test ./test/drill -v -long -archives 2000 -timeout 0 # with more of them
package drill
