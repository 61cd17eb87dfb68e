package audit

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of a record, in bytes (access-control §8.1).
const (
	userAgentMax  = 1 << 10
	messageMax    = 1 << 10
	parametersMax = 100 << 10
	elementsMax   = 100 << 10
	additionalMax = 28 << 10
	textMax       = 1 << 10 // of one string in members that are too long together
)

// ourselves is who calls when nobody did.
const ourselves = "moraine.internal"

// stampFormat is how records print an instant.
const stampFormat = "2006-01-02T15:04:05Z"

// Record is one call in the form of a CloudTrail event. Surfaces fill in what
// they know; Append adds what is the same for all, and keeps the bounds.
type Record struct {
	UserIdentity        Identity
	EventSource         string
	EventName           string
	Region              string // of the signature; chooses the chain
	SourceIPAddress     string
	UserAgent           string
	ErrorCode           string // "" on success
	ErrorMessage        string
	RequestParameters   Members // names in camelCase
	ResponseElements    Members // none for reads
	AdditionalEventData Members
	RequestID           string
	ReadOnly            bool
	Data                bool     // it is about the bytes of an archive, a part or an output
	Resource            Resource // zero for none
	APIVersion          string
	RecipientAccountID  string
	TLS                 TLS // zero for none

	service bool // nobody called: the server did or noticed something
}

// Identity is who called (access-control §8.2).
type Identity struct {
	Type        string
	PrincipalID string
	ARN         string
	AccountID   string
	AccessKeyID string
	UserName    string
	InvokedBy   string
	Session     *Session // of temporary credentials
}

// Session says where temporary credentials come from.
type Session struct {
	Role    Issuer // zero if it is no role's
	Created time.Time
}

// Issuer is the role of a session.
type Issuer struct{ PrincipalID, ARN, AccountID, UserName string }

// Resource is what a call is on.
type Resource struct{ ARN, AccountID, Type string }

// TLS says how the connection is protected.
type TLS struct{ Version, Cipher, Host string }

// records are those that Append took back.
var records = sync.Pool{New: func() any { return new(Record) }}

// NewRecord returns an empty record, whose memory Append takes back.
func NewRecord() *Record { return records.Get().(*Record) }

// release empties r for the next one.
func (r *Record) release() {
	p, e, a := r.RequestParameters, r.ResponseElements, r.AdditionalEventData
	clear(p)
	clear(e)
	clear(a)
	*r = Record{RequestParameters: p[:0], ResponseElements: e[:0], AdditionalEventData: a[:0]}
	records.Put(r)
}

// ReadOnly reports whether an operation only looks, by its name.
func ReadOnly(operation string) bool {
	for _, verb := range [...]string{"Get", "List", "Describe", "Simulate"} {
		if strings.HasPrefix(operation, verb) {
			return true
		}
	}
	return false
}

// service makes a record of what the server did or noticed by itself.
func service(name string, details map[string]any) *Record {
	r := NewRecord()
	r.UserIdentity = Identity{Type: "AWSService", InvokedBy: ourselves}
	r.EventSource, r.EventName, r.service = "glacier.amazonaws.com", name, true
	for key, value := range details {
		r.AdditionalEventData.Tree(key, value)
	}
	return r
}

// forOwner is the copy that the account which owns the resource gets of a call
// by somebody else's principal.
func (r *Record) forOwner(owner string) Record {
	other := *r
	other.RecipientAccountID = owner
	other.UserIdentity = Identity{
		Type: r.UserIdentity.Type, PrincipalID: r.UserIdentity.PrincipalID, AccountID: r.UserIdentity.AccountID,
	}
	if !r.byVault() {
		other.AdditionalEventData = withoutPolicy(r.AdditionalEventData)
	}
	return other
}

// byVault reports whether the vault's policies decided.
func (r *Record) byVault() bool {
	source := r.AdditionalEventData.find("policySource")
	return strings.HasPrefix(source, "access-policy") || strings.HasPrefix(source, "lock-policy")
}

// withoutPolicy leaves out what tells one account of another's policies
// (access-control §5.4).
func withoutPolicy(details Members) Members {
	if !details.Has("policySource") {
		return details
	}
	return details.without("policySource", "matchedSid", "reason")
}

// appendTo prints the canonical text of r: one JSON object on one line, its
// members in a fixed order.
//
// format: see docs/format/audit.md
func (r *Record) appendTo(b []byte, now time.Time, shared string, data bool) []byte {
	b = append(b, `{"eventVersion":"1.08","userIdentity":`...)
	b = r.UserIdentity.appendTo(b)
	b = append(b, `,"eventTime":"`...)
	b = now.UTC().AppendFormat(b, stampFormat)
	b = append(b, '"')
	b = appendField(b, "eventSource", r.EventSource)
	b = appendField(b, "eventName", r.EventName)
	b = appendOptional(b, "awsRegion", r.Region)
	b = appendOptional(b, "sourceIPAddress", r.SourceIPAddress)
	b = appendOptional(b, "userAgent", cut(r.UserAgent, userAgentMax))
	b = appendOptional(b, "errorCode", r.ErrorCode)
	b = appendOptional(b, "errorMessage", cut(r.ErrorMessage, messageMax))
	b = append(b, `,"requestParameters":`...)
	b = r.RequestParameters.appendBounded(b, parametersMax)
	b = append(b, `,"responseElements":`...)
	b = r.ResponseElements.appendBounded(b, elementsMax)
	if len(r.AdditionalEventData) > 0 {
		b = append(b, `,"additionalEventData":`...)
		b = r.AdditionalEventData.appendBounded(b, additionalMax)
	}
	b = appendOptional(b, "requestID", r.RequestID)
	b = append(b, `,"eventID":"`...)
	b = appendID(b)
	b = append(b, `","readOnly":`...)
	b = strconv.AppendBool(b, r.ReadOnly)
	if r.Resource.ARN != "" {
		b = append(b, `,"resources":[{"ARN":`...)
		b = appendString(b, r.Resource.ARN)
		b = appendField(b, "accountId", r.Resource.AccountID)
		b = appendField(b, "type", r.Resource.Type)
		b = append(b, "}]"...)
	}
	kind, category := "AwsApiCall", "Management"
	if r.service {
		kind = "AwsServiceEvent"
	}
	if data = data && r.Data; data {
		category = "Data"
	}
	b = appendField(b, "eventType", kind)
	b = appendOptional(b, "apiVersion", r.APIVersion)
	b = append(b, `,"managementEvent":`...)
	b = strconv.AppendBool(b, !data)
	b = appendOptional(b, "recipientAccountId", r.RecipientAccountID)
	b = appendOptional(b, "sharedEventID", shared)
	b = appendField(b, "eventCategory", category)
	if r.TLS.Version != "" {
		b = append(b, `,"tlsDetails":{"tlsVersion":`...)
		b = appendString(b, r.TLS.Version)
		b = appendField(b, "cipherSuite", r.TLS.Cipher)
		b = appendField(b, "clientProvidedHostHeader", r.TLS.Host)
		b = append(b, '}')
	}
	return append(b, '}')
}

func (i *Identity) appendTo(b []byte) []byte {
	b = append(b, `{"type":`...)
	b = appendString(b, i.Type)
	b = appendOptional(b, "principalId", i.PrincipalID)
	b = appendOptional(b, "arn", i.ARN)
	b = appendOptional(b, "accountId", i.AccountID)
	b = appendOptional(b, "accessKeyId", i.AccessKeyID)
	b = appendOptional(b, "userName", i.UserName)
	b = appendOptional(b, "invokedBy", i.InvokedBy)
	if s := i.Session; s != nil {
		b = append(b, `,"sessionContext":{`...)
		if s.Role.ARN != "" {
			b = append(b, `"sessionIssuer":{"type":"Role"`...)
			b = appendField(b, "principalId", s.Role.PrincipalID)
			b = appendField(b, "arn", s.Role.ARN)
			b = appendField(b, "accountId", s.Role.AccountID)
			b = appendField(b, "userName", s.Role.UserName)
			b = append(b, "},"...)
		}
		b = append(b, `"attributes":{"creationDate":"`...)
		b = s.Created.UTC().AppendFormat(b, stampFormat)
		b = append(b, `","mfaAuthenticated":"false"}}`...)
	}
	return append(b, '}')
}

// appendField adds a member to an object that has one.
func appendField(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

// appendOptional is appendField for members that are left out when they are
// empty.
func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendField(b, name, value)
}

// Stamp prints an instant as records do.
func Stamp(t time.Time) string { return t.UTC().Format(stampFormat) }

// appendID adds a new UUID, version 4.
func appendID(b []byte) []byte {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	for i, group := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, group)
	}
	return b
}
