// Package audittest reads records of the audit log in tests.
//
// It knows the members of a record as docs/format/audit.md has them, in their
// order. It must not know the package it is for: the two agree by the document
// alone.
package audittest

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Event is a record. Encoded again by encoding/json without HTML escapes it
// gives the canonical text.
type Event struct {
	EventVersion        string         `json:"eventVersion"`
	UserIdentity        Identity       `json:"userIdentity"`
	EventTime           string         `json:"eventTime"`
	EventSource         string         `json:"eventSource"`
	EventName           string         `json:"eventName"`
	Region              string         `json:"awsRegion,omitempty"`
	SourceIPAddress     string         `json:"sourceIPAddress,omitempty"`
	UserAgent           string         `json:"userAgent,omitempty"`
	ErrorCode           string         `json:"errorCode,omitempty"`
	ErrorMessage        string         `json:"errorMessage,omitempty"`
	RequestParameters   map[string]any `json:"requestParameters"`
	ResponseElements    map[string]any `json:"responseElements"`
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

// Identity is the member userIdentity.
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

// Session is the member sessionContext.
type Session struct {
	Issuer     *Issuer    `json:"sessionIssuer,omitempty"`
	Attributes Attributes `json:"attributes"`
}

// Issuer is the member sessionIssuer.
type Issuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// Attributes are those of a session.
type Attributes struct {
	CreationDate     string `json:"creationDate"`
	MFAAuthenticated string `json:"mfaAuthenticated"`
}

// Resource is one of the member resources.
type Resource struct {
	ARN       string `json:"ARN"`
	AccountID string `json:"accountId"`
	Type      string `json:"type"`
}

// TLS is the member tlsDetails.
type TLS struct {
	Version string `json:"tlsVersion"`
	Cipher  string `json:"cipherSuite"`
	Host    string `json:"clientProvidedHostHeader"`
}

// Parse reads the lines of a file; blank ones are those at its end.
func Parse(t testing.TB, text []byte) []Event {
	t.Helper()
	var all []Event
	for line := range bytes.Lines(bytes.TrimRight(text, "\n")) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

// Encode prints e as encoding/json does, without HTML escapes.
func Encode(t testing.TB, e *Event) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
