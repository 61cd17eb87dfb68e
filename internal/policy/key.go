package policy

import "strings"

// keyNames lists the condition keys a request may carry, as the documentation
// spells them (access-control §4.3). A name that ends in a slash is a family:
// a tag key follows.
var keyNames = []string{
	"glacier:ArchiveAgeInDays", "glacier:ResourceTag/",
	"aws:CurrentTime", "aws:EpochTime", "aws:MultiFactorAuthAge", "aws:MultiFactorAuthPresent",
	"aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalIsAWSService", "aws:PrincipalTag/",
	"aws:PrincipalType", "aws:Referer", "aws:RequestTag/", "aws:RequestedRegion", "aws:ResourceAccount",
	"aws:ResourceTag/", "aws:SecureTransport", "aws:SourceIdentity", "aws:SourceIp", "aws:TagKeys",
	"aws:TokenIssueTime", "aws:UserAgent", "aws:ViaAWSService", "aws:userid", "aws:username",
	"sts:DurationSeconds", "sts:ExternalId", "sts:RoleSessionName",
}

// The keys of keyNames that follow from a request's principal and time,
// folded.
const (
	keyCurrentTime      = "aws:currenttime"
	keyEpochTime        = "aws:epochtime"
	keyPrincipalAccount = "aws:principalaccount"
	keyPrincipalArn     = "aws:principalarn"
	keyPrincipalType    = "aws:principaltype"
	keyUserID           = "aws:userid"
	keyUsername         = "aws:username"
)

// foldedNames saves foldKey the work for the names everybody uses.
var foldedNames = func() map[string]string {
	m := make(map[string]string, len(keyNames))
	for _, name := range keyNames {
		m[name] = strings.ToLower(name)
	}
	return m
}()

// foldKey returns the form of a condition key under which it is stored and
// looked for: names of keys ignore case, tag keys in them too
// (access-control §4.3).
func foldKey(key string) string {
	if folded, ok := foldedNames[key]; ok {
		return folded
	}
	return strings.ToLower(key)
}

// knownKey reports whether a request may carry the key.
func knownKey(folded string) bool {
	for _, name := range foldedNames {
		if folded == name {
			return !strings.HasSuffix(name, "/")
		}
		if strings.HasSuffix(name, "/") && strings.HasPrefix(folded, name) {
			return true
		}
	}
	return false
}
