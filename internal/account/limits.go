package account

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"moraine"
)

// Limits of access-control §2.1.
const (
	userNameMax  = 64 // and a role's
	groupNameMax = 128
	policyName   = 128
	pathMax      = 512

	keysPerUser     = 2
	groupsPerUser   = 10
	attachedMax     = 10 // managed policies of a user, group or role
	versionsMax     = 5
	tagsMax         = 50
	tagKeyMax       = 128
	tagValueMax     = 256
	descriptionMax  = 1000
	documentMax     = 131_072 // characters of any policy text on the way in
	usersMax        = 5000
	groupsMax       = 300
	rolesMax        = 1000
	policiesMax     = 1500
	userInlineMax   = 2048 // characters without white space
	groupInlineMax  = 5120
	roleInlineMax   = 10_240
	inlineCountMax  = 1000 // of one entity; the quotas of text end far below
	sessionNameMax  = 64
	externalIDMax   = 1224
	sessionPolicies = 10

	roleSessionMin     = time.Hour // MaxSessionDuration of a role
	roleSessionMax     = 12 * time.Hour
	sessionMin         = 15 * time.Minute
	sessionDefault     = time.Hour
	userSessionMax     = 36 * time.Hour
	userSessionDefault = 12 * time.Hour
)

// kindRules are the limits of one kind of entity.
type kindRules struct {
	title     string // as in operation names
	prefix    string // of unique ids
	nameMax   int
	countMax  int
	countName string // of the quota
	inlineMax int
}

var rules = map[moraine.IdentityKind]kindRules{
	moraine.UserIdentity:   {"User", "AIDA", userNameMax, usersMax, "UsersPerAccount", userInlineMax},
	moraine.GroupIdentity:  {"Group", "AGPA", groupNameMax, groupsMax, "GroupsPerAccount", groupInlineMax},
	moraine.RoleIdentity:   {"Role", "AROA", userNameMax, rolesMax, "RolesPerAccount", roleInlineMax},
	moraine.PolicyIdentity: {"Policy", "ANPA", policyName, policiesMax, "PoliciesPerAccount", 0},
}

const nameClass = `[\w+=,.@-]+`

// violation is the sentence for a parameter that breaks a rule of its type.
func violation(value, parameter, rule string) error {
	return failf(ValidationError, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", echo(value), parameter, rule)
}

// absent is the sentence for a required parameter that was not sent.
func absent(parameter string) error {
	return failf(ValidationError, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", parameter)
}

// echo bounds what a message repeats of a parameter.
func echo(s string) string {
	const echoMax = 200
	if len(s) > echoMax {
		s = s[:echoMax]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_+=,.@-", r)
}

// checkName wants 1 to limit characters of the class of names.
func checkName(name, parameter string, limit int) error {
	switch {
	case name == "":
		return absent(parameter)
	case strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) }):
		return violation(name, parameter, "Member must satisfy regular expression pattern: "+nameClass)
	case len(name) > limit:
		return violation(name, parameter, fmt.Sprintf("Member must have length less than or equal to %d", limit))
	}
	return nil
}

// checkPath wants "/" or "/…/" of printable ASCII.
func checkPath(path, parameter string) error {
	ok := path == "/" || len(path) > 2 && strings.HasPrefix(path, "/") && strings.HasSuffix(path, "/")
	if ok && len(path) <= pathMax && !strings.ContainsFunc(path, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return nil
	}
	return failf(ValidationError, "The specified value for %s is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.", parameter)
}

// checkTags looks at tags on their way in.
func checkTags(tags []moraine.Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		folded := strings.ToLower(t.Key)
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > tagKeyMax || !tagText(t.Key):
			return violation(t.Key, "tags.member.key", `Member must have length from 1 to 128 and satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
		case utf8.RuneCountInString(t.Value) > tagValueMax || !tagText(t.Value):
			return violation(t.Value, "tags.member.value", `Member must have length from 0 to 256 and satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
		case strings.HasPrefix(folded, "aws:"):
			return failf(InvalidInput, "Tag keys beginning with aws: are reserved")
		case seen[folded]:
			return failf(InvalidInput, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[folded] = true
	}
	return nil
}

func tagText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
	})
}

// mergeTags returns old with the new tags added; keys ignore case, the new
// spelling wins.
func mergeTags(old, add []moraine.Tag) ([]moraine.Tag, error) {
	if err := checkTags(add); err != nil {
		return nil, err
	}
	keys := make([]string, len(add))
	for i, t := range add {
		keys[i] = t.Key
	}
	merged := append(dropTags(old, keys), add...)
	if len(merged) > tagsMax {
		return nil, failf(LimitExceeded, "The number of tags has reached the maximum limit.")
	}
	return merged, nil
}

// dropTags returns the tags but those with one of the keys.
func dropTags(tags []moraine.Tag, keys []string) []moraine.Tag {
	var kept []moraine.Tag
next:
	for _, t := range tags {
		for _, k := range keys {
			if strings.EqualFold(t.Key, k) {
				continue next
			}
		}
		kept = append(kept, t)
	}
	return kept
}
