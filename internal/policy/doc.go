// Package policy reads, checks and evaluates access policies: the JSON
// documents attached to users, groups, roles and vaults.
//
// It knows the policy language, the actions and condition keys of Glacier
// vaults, and the sentences in which a policy or a request is refused. It must
// not know where documents are stored, who a request came from, what time it
// is, or how an error reaches a client: everything a decision depends on is an
// argument, and the same arguments give the same decision.
//
// A document goes through three steps. Parse takes text and returns a Document
// with every pattern compiled, or the first fault that is a fault in any kind
// of policy. Validate applies the rules of the place the document is meant for.
// Bind notes the unique ids behind the principals it names. A stored document
// needs Parse alone before Evaluate; one that no longer parses is given to
// Evaluate as a Policy without Document, and denies.
//
// Sections cited as access-control are those of the access control
// specification.
package policy
