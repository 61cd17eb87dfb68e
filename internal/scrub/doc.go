// Package scrub is the service that reads everything again, so that damage is
// found while there is another copy, or at least before somebody needs the
// archive.
//
// It knows passes and their pace, what a finding means, and how a damaged copy
// is mended. It must not know HTTP, SQL or files, nor how a store checks its
// bytes (package blob states that power).
//
// A pass walks all extents in byte order of blob id. Ids begin with the time, so
// that is nearly the order on the disk. Findings and the place in the walk are
// kept in one transaction per batch: a crash repeats a batch at most.
//
//	idle ──period over, or asked──▶ pass ──last extent──▶ idle
//	                                 │ restart: goes on after the cursor
//
//	blob: good ──a copy fails──▶ mended from another copy ──▶ good
//	       │                        │ none is good
//	       └──every copy fails──────┴──▶ faulty: not served, not deleted
//	faulty ──a check finds it whole──▶ good
package scrub
