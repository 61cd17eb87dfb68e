package iamapi

import (
	"bytes"
	"encoding/xml"
	"net/url"
	"strings"
	"time"

	"moraine"
	"moraine/internal/account"
)

// encodeResult prints a successful answer. A result of nil is an operation
// without output.
func encodeResult(c *call, result any) []byte {
	op := c.event.Operation
	var b bytes.Buffer
	enc := xml.NewEncoder(&b)
	root := element(op+"Response", protocols[c.event.Service].namespace)
	must(enc.EncodeToken(root))
	if result != nil {
		must(enc.EncodeElement(result, element(op+"Result", "")))
	}
	must(enc.EncodeElement(struct{ RequestId string }{c.event.RequestID}, element("ResponseMetadata", "")))
	must(enc.EncodeToken(root.End()))
	must(enc.Close())
	return b.Bytes()
}

// encodeError prints an error.
func encodeError(c *call, e *wireError) []byte {
	type detail struct{ Type, Code, Message string }
	var b bytes.Buffer
	enc := xml.NewEncoder(&b)
	must(enc.EncodeElement(struct {
		Error     detail
		RequestId string
	}{detail{e.fault(), e.code, e.message}, c.event.RequestID}, element("ErrorResponse", protocols[c.event.Service].namespace)))
	must(enc.Close())
	return b.Bytes()
}

func element(name, namespace string) xml.StartElement {
	start := xml.StartElement{Name: xml.Name{Local: name}}
	if namespace != "" {
		start.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}
	}
	return start
}

// must is for the encoder on a buffer and on the types of this package, which
// always encode.
func must(err error) {
	if err != nil {
		panic("iamapi: an answer does not encode: " + err.Error())
	}
}

// members is a list, which appears also when it is empty.
type members[T any] struct {
	Member []T `xml:"member"`
}

func list[F, T any](from []F, fn func(F) T) members[T] {
	m := members[T]{Member: make([]T, len(from))}
	for i, f := range from {
		m.Member[i] = fn(f)
	}
	return m
}

// page is the end of every list.
type page struct {
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

func ended(next string) page { return page{next != "", next} }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// encodeText percent-encodes the text of a policy (RFC 3986).
func encodeText(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

type tagXML struct{ Key, Value string }

func tagOf(t moraine.Tag) tagXML { return tagXML(t) }

func tagsOf(tags []moraine.Tag) *members[tagXML] {
	if len(tags) == 0 {
		return nil
	}
	m := list(tags, tagOf)
	return &m
}

type boundaryXML struct{ PermissionsBoundaryType, PermissionsBoundaryArn string }

func boundaryOf(e *account.Entity) *boundaryXML {
	if e.Boundary == "" {
		return nil
	}
	return &boundaryXML{"Policy", e.Boundary}
}

type userXML struct {
	Path                string `xml:",omitempty"`
	UserName            string `xml:",omitempty"`
	UserId              string
	Arn                 string
	CreateDate          string
	PermissionsBoundary *boundaryXML
	Tags                *members[tagXML]
}

func userOf(e *account.Entity) userXML {
	return userXML{e.Path, e.Name, e.ID, e.ARN, stamp(e.Created), boundaryOf(e), tagsOf(e.Tags)}
}

// bareUser is a user in a list, without tags and boundary.
func bareUser(e *account.Entity) userXML {
	return userXML{Path: e.Path, UserName: e.Name, UserId: e.ID, Arn: e.ARN, CreateDate: stamp(e.Created)}
}

type groupXML struct{ Path, GroupName, GroupId, Arn, CreateDate string }

func groupOf(e *account.Entity) groupXML {
	return groupXML{e.Path, e.Name, e.ID, e.ARN, stamp(e.Created)}
}

type roleXML struct {
	Path                     string
	RoleName                 string
	RoleId                   string
	Arn                      string
	CreateDate               string
	AssumeRolePolicyDocument string
	Description              string `xml:",omitempty"`
	MaxSessionDuration       int64
	PermissionsBoundary      *boundaryXML
	Tags                     *members[tagXML]
}

func roleOf(e *account.Entity) roleXML {
	r := bareRole(e)
	r.PermissionsBoundary, r.Tags = boundaryOf(e), tagsOf(e.Tags)
	return r
}

func bareRole(e *account.Entity) roleXML {
	return roleXML{
		Path: e.Path, RoleName: e.Name, RoleId: e.ID, Arn: e.ARN, CreateDate: stamp(e.Created),
		AssumeRolePolicyDocument: encodeText(e.Role.Trust), Description: e.Role.Description, MaxSessionDuration: e.Role.SessionMax,
	}
}

type policyXML struct {
	PolicyName                    string
	PolicyId                      string
	Arn                           string
	Path                          string
	DefaultVersionId              string
	AttachmentCount               int
	PermissionsBoundaryUsageCount int
	IsAttachable                  bool
	Description                   string `xml:",omitempty"`
	CreateDate                    string
	UpdateDate                    string
	Tags                          *members[tagXML]
}

func policyOf(m *account.Managed) policyXML {
	p := barePolicy(m)
	p.Description, p.Tags = m.Description, tagsOf(m.Tags)
	return p
}

func barePolicy(m *account.Managed) policyXML {
	current := account.Version{Number: m.Default}
	return policyXML{
		PolicyName: m.Name, PolicyId: m.ID, Arn: m.ARN, Path: m.Path, DefaultVersionId: current.ID(),
		AttachmentCount: m.Attached, PermissionsBoundaryUsageCount: m.Boundaries, IsAttachable: true,
		CreateDate: stamp(m.Created), UpdateDate: stamp(m.Updated),
	}
}

type versionXML struct {
	Document         string `xml:",omitempty"`
	VersionId        string
	IsDefaultVersion bool
	CreateDate       string
}

func versionOf(m *account.Managed, v *account.Version) versionXML {
	return versionXML{VersionId: v.ID(), IsDefaultVersion: v.Number == m.Default, CreateDate: stamp(v.Created)}
}

type attachedXML struct{ PolicyName, PolicyArn string }

func attachedOf(arn string) attachedXML {
	return attachedXML{arn[strings.LastIndexByte(arn, '/')+1:], arn}
}

type keyXML struct {
	UserName        string `xml:",omitempty"`
	AccessKeyId     string
	Status          string
	SecretAccessKey string `xml:",omitempty"`
	CreateDate      string
}

func keyOf(k account.Key) keyXML {
	status := "Inactive"
	if k.Active {
		status = "Active"
	}
	return keyXML{k.UserName, k.ID, status, string(k.Secret), stamp(k.Created)}
}

type credentialsXML struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }

func credentialsOf(c account.Credentials) credentialsXML {
	return credentialsXML{c.KeyID, string(c.Secret), string(c.Token), stamp(c.Expires)}
}
