// Package moraine holds the nouns of the Glacier vault service: accounts,
// vaults, archives, uploads, parts, jobs, their identifiers, sizes and limits,
// and the kinds of error every other room speaks.
//
// It knows names and numbers. It must not know HTTP, SQL, files, or any rule
// that needs to look something up: those belong to the surfaces, the adapters
// and the services.
package moraine
