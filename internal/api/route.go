package api

import (
	"net/http"
	"net/url"
	"strings"

	"moraine"
)

// operation is one row of the operation index (§2).
type operation struct {
	name     string
	method   string
	path     string // segments after the account; {v} a vault name, {id} an id
	streamed bool   // the body is bytes of an archive: it is hashed while it streams
	handle   func(*Server, *call) error
}

// operations is the operation index, in its order.
var operations = []operation{
	{"CreateVault", http.MethodPut, "vaults/{v}", false, (*Server).createVault},
	{"DescribeVault", http.MethodGet, "vaults/{v}", false, (*Server).describeVault},
	{"ListVaults", http.MethodGet, "vaults", false, (*Server).listVaults},
	{"DeleteVault", http.MethodDelete, "vaults/{v}", false, (*Server).deleteVault},
	{"UploadArchive", http.MethodPost, "vaults/{v}/archives", true, (*Server).uploadArchive},
	{"DeleteArchive", http.MethodDelete, "vaults/{v}/archives/{id}", false, (*Server).deleteArchive},
	{"InitiateMultipartUpload", http.MethodPost, "vaults/{v}/multipart-uploads", false, (*Server).initiateMultipartUpload},
	{"UploadMultipartPart", http.MethodPut, "vaults/{v}/multipart-uploads/{id}", true, (*Server).uploadMultipartPart},
	{"CompleteMultipartUpload", http.MethodPost, "vaults/{v}/multipart-uploads/{id}", false, (*Server).completeMultipartUpload},
	{"AbortMultipartUpload", http.MethodDelete, "vaults/{v}/multipart-uploads/{id}", false, (*Server).abortMultipartUpload},
	{"ListParts", http.MethodGet, "vaults/{v}/multipart-uploads/{id}", false, (*Server).listParts},
	{"ListMultipartUploads", http.MethodGet, "vaults/{v}/multipart-uploads", false, (*Server).listMultipartUploads},
	{"InitiateJob", http.MethodPost, "vaults/{v}/jobs", false, (*Server).initiateJob},
	{"DescribeJob", http.MethodGet, "vaults/{v}/jobs/{id}", false, (*Server).describeJob},
	{"ListJobs", http.MethodGet, "vaults/{v}/jobs", false, (*Server).listJobs},
	{"GetJobOutput", http.MethodGet, "vaults/{v}/jobs/{id}/output", false, (*Server).getJobOutput},
}

// Positions of the variable segments in a path, the account being 0.
const (
	segAccount = 0
	segVault   = 2
	segID      = 4
	segMax     = 6
)

// router maps a method and the fixed segments of a path to an operation.
type router map[string]*operation

func newRouter(table []operation) router {
	r := make(router, len(table))
	for i := range table {
		op := &table[i]
		segments := append([]string{""}, strings.Split(op.path, "/")...)
		r[routeKey(op.method, segments)] = op
	}
	return r
}

// routeKey joins the method and the fixed segments; variable ones are left
// out, their place is not.
func routeKey(method string, segments []string) string {
	var b strings.Builder
	b.WriteString(method)
	for i, s := range segments {
		b.WriteByte('/')
		if i != segAccount && i != segVault && i != segID {
			b.WriteString(s)
		}
	}
	return b.String()
}

// target is a routed path.
type target struct {
	op                 *operation
	account, vault, id string // decoded, "" where the operation has none
}

// route finds the operation of a request. The path is the raw one, whose
// safety is already checked; each segment is decoded once.
func (r router) route(method, rawPath string) (target, error) {
	unknown := moraine.Errorf(moraine.BadRequest, "The request does not match any operation: %s %s", method, rawPath)
	segments := strings.SplitN(strings.TrimPrefix(rawPath, "/"), "/", segMax+1)
	if len(segments) > segMax {
		return target{}, unknown
	}
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil {
			return target{}, unknown
		}
		segments[i] = text
	}
	op := r[routeKey(method, segments)]
	if op == nil {
		return target{}, unknown
	}
	t := target{op: op, account: segments[segAccount]}
	if len(segments) > segVault {
		t.vault = segments[segVault]
	}
	if len(segments) > segID {
		t.id = segments[segID]
	}
	return t, nil
}
