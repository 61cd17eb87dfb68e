// Package conformance holds the black-box proof that a moraine server speaks
// the vault API, IAM and STS: the Go SDKs drive the operations, text
// transcripts under testdata compare replies byte for byte, and scripts beside
// this file run the real clients. It knows the command line and the wire; it
// must not import the server's packages.
//
// # Transcripts
//
// A file under testdata is a list of exchanges, run in order against one
// server; files run in parallel. Lines before the first exchange choose the
// server ("server: current", "server: daily", or "server: own" for one that is
// started for the file, with "flags: --test-mode" and the like), the region, and
// the service that most exchanges are with ("service: iam" or "service: sts";
// without it the vault API). An exchange is
//
//	=== name of the exchange
//	METHOD /target
//	Header: value
//	!Header
//	@directive argument
//
//	body
//	---
//	status
//	Header: value
//	!Header
//
//	body
//
// The runner adds Host, x-amz-date, x-amz-glacier-version, Content-Length (but
// not on GET) and Authorization unless the exchange names them; "!Header"
// leaves one out of the request, or requires its absence from the reply. The
// reply must have exactly the body given, byte for byte; none means an empty
// one. "error STATUS CODE: MESSAGE" as the whole reply stands for the error
// body with that code and message, in the key order of the code's family;
// "front" in place of "error" forces the order of the front end, which finds
// fault with transport and credentials before any operation is reached.
//
// An exchange with IAM or STS is signed for that service and gets the
// Content-Type of a form in place of the version header. Line ends, and blanks
// that begin a line, do not count in the body of its reply; "error" stands for
// an error in XML, and "done" for a success without output.
//
// In a request, ${name} is replaced by a variable. In a reply, <kind> matches
// any text of that kind (see kinds) and <kind:name> keeps it in a variable, or
// compares with the variable when it has a value; ${name} must match exactly.
//
// Directives of a request:
//
//	@service NAME        this exchange is with iam, sts or glacier
//	@call ACTION         the body is a form: the action, the version of the
//	                     service, and a parameter of each line NAME=VALUE
//	@as NAME             sign with the variables NAMEKey, NAMESecret and, if it
//	                     has a value, NAMEToken
//	@admin               send it to the admin listener, unsigned
//	@body pattern A-B    bytes A to B of the test data of glacier-api §6.4
//	@body repeat TEXT N  TEXT, N times
//	@hashes              add both hash headers of the body
//	@chunked             send the body in chunks
//	@send TARGET         put TARGET on the request line, sign the given target
//	@sign PART VALUE     change the signature: stamp, scope, signed, payload,
//	                     keyid, secret, auth, region
//	@unsigned            add no Authorization
//	@presign SECONDS     sign in the query, valid for SECONDS ("-": no expiry)
//	@times N             send it N times with ${nnn} counting from 001; the reply
//	                     is compared each time
//	@until TEXT          repeat until the reply body contains TEXT
//
// A reply body that ends in the two characters \n ends in a line end; one that
// reads "@pattern A-B" is that range of the test data.
package conformance
