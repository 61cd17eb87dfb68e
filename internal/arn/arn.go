// Package arn reads and writes Amazon resource names, the six-part names that
// policies and responses use for vaults and principals.
//
// It knows the shape of a name. It does not know which resources exist, what
// a wildcard in a name matches, or who may do what to it.
package arn

import (
	"errors"
	"strings"
)

// Partition is the first part of every name this package makes.
const Partition = "aws"

const (
	prefix     = "arn:"
	partsCount = 6
)

// ARN is a resource name taken apart. Region and Account are empty in the
// names of some services; Resource is the rest of the name and may itself
// contain colons and slashes.
type ARN struct {
	Partition string
	Service   string
	Region    string
	Account   string
	Resource  string
}

// The reasons why a text is not an ARN.
var (
	ErrPrefix = errors.New(`arn: name does not begin with "arn:"`)
	ErrParts  = errors.New("arn: name does not have six parts")
	ErrEmpty  = errors.New("arn: partition, service or resource is empty")
)

// Parse takes a name apart. Partition, service and resource must not be
// empty; no part is looked at more closely, so a policy's pattern with
// wildcards parses too.
func Parse(s string) (ARN, error) {
	if !strings.HasPrefix(s, prefix) {
		return ARN{}, ErrPrefix
	}
	parts := strings.SplitN(s, ":", partsCount)
	if len(parts) != partsCount {
		return ARN{}, ErrParts
	}
	a := ARN{Partition: parts[1], Service: parts[2], Region: parts[3], Account: parts[4], Resource: parts[5]}
	if a.Partition == "" || a.Service == "" || a.Resource == "" {
		return ARN{}, ErrEmpty
	}
	return a, nil
}

// String writes the name; for every a that came from Parse it returns what
// Parse was given.
func (a ARN) String() string {
	return prefix + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// Vault returns the name of a vault (glacier-api §1.15).
func Vault(region, account, name string) string {
	return glacier(region, account, "vaults/"+name)
}

// Vaults returns the name that stands for the list of an account's vaults in
// one region, the resource of ListVaults.
func Vaults(region, account string) string {
	return glacier(region, account, "vaults/")
}

// Root returns the name of an account's root user.
func Root(account string) string {
	return ARN{Partition: Partition, Service: "iam", Account: account, Resource: "root"}.String()
}

func glacier(region, account, resource string) string {
	return ARN{Partition: Partition, Service: "glacier", Region: region, Account: account, Resource: resource}.String()
}
