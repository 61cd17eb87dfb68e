// Package iamapi is the wire form of the identity operations: the query
// protocol of IAM (2010-05-08) and STS (2011-06-15), with answers in XML
// (access-control §2.2).
//
// It knows HTTP, forms, XML, and which parameter of which operation means
// what. It must not know any rule: package account validates, authorises and
// acts.
package iamapi
