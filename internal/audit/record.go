package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"
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

// What every record says of itself.
const (
	eventVersion = "1.08"
	apiCall      = "AwsApiCall"
	serviceEvent = "AwsServiceEvent"
	management   = "Management"
	ourselves    = "moraine.internal"
)

// Record is one call in the form of a CloudTrail event. Surfaces fill in what
// they know; Append completes and bounds it.
type Record struct {
	EventVersion        string         `json:"eventVersion"`
	UserIdentity        Identity       `json:"userIdentity"`
	EventTime           string         `json:"eventTime"`
	EventSource         string         `json:"eventSource"`
	EventName           string         `json:"eventName"`
	Region              string         `json:"awsRegion,omitempty"`
	SourceIPAddress     string         `json:"sourceIPAddress,omitempty"`
	UserAgent           string         `json:"userAgent,omitempty"`
	ErrorCode           string         `json:"errorCode,omitempty"` // "" on success
	ErrorMessage        string         `json:"errorMessage,omitempty"`
	RequestParameters   map[string]any `json:"requestParameters"` // camelCase; nil for none
	ResponseElements    map[string]any `json:"responseElements"`  // nil for reads
	AdditionalEventData map[string]any `json:"additionalEventData,omitempty"`
	RequestID           string         `json:"requestID,omitempty"`
	EventID             string         `json:"eventID"`
	ReadOnly            bool           `json:"readOnly"`
	Resources           []Resource     `json:"resources,omitempty"`
	EventType           string         `json:"eventType"`
	APIVersion          string         `json:"apiVersion,omitempty"`
	ManagementEvent     bool           `json:"managementEvent"`
	RecipientAccountID  string         `json:"recipientAccountId,omitempty"`
	SharedEventID       string         `json:"sharedEventID,omitempty"`
	EventCategory       string         `json:"eventCategory"`
	TLSDetails          *TLS           `json:"tlsDetails,omitempty"`
}

// Identity is who called (access-control §8.2).
type Identity struct {
	Type        string   `json:"type"`
	PrincipalID string   `json:"principalId,omitempty"`
	ARN         string   `json:"arn,omitempty"`
	AccountID   string   `json:"accountId,omitempty"`
	AccessKeyID string   `json:"accessKeyId,omitempty"`
	UserName    string   `json:"userName,omitempty"`
	InvokedBy   string   `json:"invokedBy,omitempty"`
	Session     *Session `json:"sessionContext,omitempty"`
}

// Session says where temporary credentials come from.
type Session struct {
	Issuer     *Issuer    `json:"sessionIssuer,omitempty"`
	Attributes Attributes `json:"attributes"`
}

// Issuer is the role of a session.
type Issuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// Attributes of a session.
type Attributes struct {
	CreationDate     string `json:"creationDate"`
	MFAAuthenticated string `json:"mfaAuthenticated"`
}

// Resource is what a call is on.
type Resource struct {
	ARN       string `json:"ARN"`
	AccountID string `json:"accountId"`
	Type      string `json:"type"`
}

// TLS says how the connection is protected.
type TLS struct {
	Version string `json:"tlsVersion"`
	Cipher  string `json:"cipherSuite"`
	Host    string `json:"clientProvidedHostHeader"`
}

// ReadOnly reports whether an operation only looks, by its name.
func ReadOnly(operation string) bool {
	for _, verb := range []string{"Get", "List", "Describe", "Simulate"} {
		if strings.HasPrefix(operation, verb) {
			return true
		}
	}
	return false
}

// complete fills in what is the same for all records and keeps the bounds.
func (r *Record) complete(now time.Time) {
	r.EventVersion, r.EventID, r.EventTime = eventVersion, newID(), Stamp(now)
	if r.EventType == "" {
		r.EventType = apiCall
	}
	r.ManagementEvent, r.EventCategory = true, management
	r.UserAgent, r.ErrorMessage = cut(r.UserAgent, userAgentMax), cut(r.ErrorMessage, messageMax)
	r.RequestParameters = bounded(r.RequestParameters, parametersMax)
	r.ResponseElements = bounded(r.ResponseElements, elementsMax)
	r.AdditionalEventData = bounded(r.AdditionalEventData, additionalMax)
}

// forOwner is the copy that the account which owns the resource gets of a call
// by somebody else's principal.
func (r *Record) forOwner(owner string) *Record {
	other := *r
	other.EventID, other.RecipientAccountID = newID(), owner
	other.UserIdentity = Identity{
		Type: r.UserIdentity.Type, PrincipalID: r.UserIdentity.PrincipalID, AccountID: r.UserIdentity.AccountID,
	}
	if !r.byVault() {
		other.AdditionalEventData = withoutPolicy(r.AdditionalEventData)
	}
	return &other
}

// byVault reports whether the vault's policies decided.
func (r *Record) byVault() bool {
	source, _ := r.AdditionalEventData["policySource"].(string)
	return strings.HasPrefix(source, "access-policy") || strings.HasPrefix(source, "lock-policy")
}

// withoutPolicy leaves out what tells one account of another's policies
// (access-control §5.4).
func withoutPolicy(details map[string]any) map[string]any {
	out := maps.Clone(details)
	if out["policySource"] != nil {
		delete(out, "policySource")
		delete(out, "matchedSid")
		delete(out, "reason")
	}
	return out
}

// Stamp prints an instant as records do.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// cut shortens s to at most limit bytes, not within a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// bounded returns members whose JSON has at most limit bytes: m itself, or with
// its long strings cut, or only a word that it was too long.
func bounded(m map[string]any, limit int) map[string]any {
	if m == nil || len(encode(m)) <= limit {
		return m
	}
	short, _ := shorten(m).(map[string]any)
	short["truncated"] = true
	if len(encode(short)) <= limit {
		return short
	}
	for key, v := range short {
		switch v.(type) {
		case map[string]any, []any, []string:
			delete(short, key)
		}
	}
	if len(encode(short)) <= limit {
		return short
	}
	return map[string]any{"truncated": true}
}

func shorten(v any) any {
	switch v := v.(type) {
	case string:
		return cut(v, textMax)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[cut(key, textMax)] = shorten(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = shorten(item)
		}
		return out
	}
	return v
}

// encode prints v on one line, without HTML escapes. Records always encode.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("audit: a record does not encode: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// newID makes a UUID, version 4.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
