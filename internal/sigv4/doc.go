// Package sigv4 checks AWS Signature Version 4 on incoming requests, and signs
// outgoing ones for the command line client and for tests.
//
// It knows HTTP requests, canonical forms, clocks and keys, and the words the
// service uses when it refuses a request (access-control §1). It does not know
// vaults, accounts or policies, where keys are stored, or how an error is
// written to a client.
//
// A server calls CheckTransport first, then Verifier.Verify. For an operation
// whose body is streamed, Verify returns before a byte of the body was read,
// and the caller compares the body with Result.CheckPayload at its end. For
// every other operation Verify reads the body, checks it and hands it over.
//
// Paths are encoded a second time for the signature and are never normalised:
// CheckTransport refuses every path that a normalising client would have
// signed in another form (access-control §1.4).
package sigv4
