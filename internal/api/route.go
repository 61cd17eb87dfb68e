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
	path     string // segments after the account; {v} a vault name, {id} an id; ?operation= if that decides
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
	{"SetVaultNotifications", http.MethodPut, "vaults/{v}/notification-configuration", false, (*Server).setVaultNotifications},
	{"GetVaultNotifications", http.MethodGet, "vaults/{v}/notification-configuration", false, (*Server).getVaultNotifications},
	{"DeleteVaultNotifications", http.MethodDelete, "vaults/{v}/notification-configuration", false, (*Server).deleteVaultNotifications},
	{"GetDataRetrievalPolicy", http.MethodGet, "policies/data-retrieval", false, (*Server).getDataRetrievalPolicy},
	{"SetDataRetrievalPolicy", http.MethodPut, "policies/data-retrieval", false, (*Server).setDataRetrievalPolicy},
	{"ListProvisionedCapacity", http.MethodGet, "provisioned-capacity", false, (*Server).listProvisionedCapacity},
	{"PurchaseProvisionedCapacity", http.MethodPost, "provisioned-capacity", false, (*Server).purchaseProvisionedCapacity},
	{"AddTagsToVault", http.MethodPost, "vaults/{v}/tags?operation=add", false, (*Server).addTagsToVault},
	{"RemoveTagsFromVault", http.MethodPost, "vaults/{v}/tags?operation=remove", false, (*Server).removeTagsFromVault},
	{"", http.MethodPost, "vaults/{v}/tags", false, (*Server).unknownTagOperation},
	{"ListTagsForVault", http.MethodGet, "vaults/{v}/tags", false, (*Server).listTagsForVault},
	{"SetVaultAccessPolicy", http.MethodPut, "vaults/{v}/access-policy", false, (*Server).setVaultAccessPolicy},
	{"GetVaultAccessPolicy", http.MethodGet, "vaults/{v}/access-policy", false, (*Server).getVaultAccessPolicy},
	{"DeleteVaultAccessPolicy", http.MethodDelete, "vaults/{v}/access-policy", false, (*Server).deleteVaultAccessPolicy},
	{"InitiateVaultLock", http.MethodPost, "vaults/{v}/lock-policy", false, (*Server).initiateVaultLock},
	{"GetVaultLock", http.MethodGet, "vaults/{v}/lock-policy", false, (*Server).getVaultLock},
	{"CompleteVaultLock", http.MethodPost, "vaults/{v}/lock-policy/{id}", false, (*Server).completeVaultLock},
	{"AbortVaultLock", http.MethodDelete, "vaults/{v}/lock-policy", false, (*Server).abortVaultLock},
}

// Positions of the segments in a path, the account being 0. Those of vault and
// id are variable in the collection of vaults.
const (
	segAccount = 0
	segKind    = 1
	segVault   = 2
	segID      = 4
	segMax     = 6
)

// ofVaults is the kind of a path into the collection of vaults.
const ofVaults = "vaults"

// byOperation begins the part of a row's path, and of a key, that the query
// parameter operation decides.
const byOperation = "?operation="

// router maps a method and the fixed segments of a path to an operation.
type router map[string]*operation

func newRouter(table []operation) router {
	r := make(router, len(table))
	for i := range table {
		op := &table[i]
		path, query, decides := strings.Cut(op.path, byOperation)
		key := routeKey(op.method, append([]string{""}, strings.Split(path, "/")...))
		if decides {
			key += byOperation + query
		}
		r[key] = op
	}
	return r
}

// routeKey joins the method and the fixed segments; variable ones are left
// out, their place is not.
func routeKey(method string, segments []string) string {
	var room [64]byte // enough for every row of the index
	key := append(room[:0], method...)
	inVaults := isInVaults(segments)
	for i, s := range segments {
		key = append(key, '/')
		variable := i == segAccount || inVaults && (i == segVault || i == segID)
		if !variable {
			key = append(key, s...)
		}
	}
	return string(key)
}

func isInVaults(segments []string) bool {
	return len(segments) > segKind && segments[segKind] == ofVaults
}

// target is a routed path.
type target struct {
	op                 *operation
	key                string
	account, vault, id string // decoded, "" where the operation has none
}

// route finds the operation of a request. The path is the raw one, whose
// safety is already checked; each segment is decoded once.
func (r router) route(method, rawPath string) (target, error) {
	unknown := func() error {
		return moraine.Errorf(moraine.BadRequest, "The request does not match any operation: %s %s", method, rawPath)
	}
	segments := strings.SplitN(strings.TrimPrefix(rawPath, "/"), "/", segMax+1)
	if len(segments) > segMax {
		return target{}, unknown()
	}
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil {
			return target{}, unknown()
		}
		segments[i] = text
	}
	key := routeKey(method, segments)
	op := r[key]
	if op == nil {
		return target{}, unknown()
	}
	t := target{op: op, key: key, account: segments[segAccount]}
	inVaults := isInVaults(segments)
	if inVaults && len(segments) > segVault {
		t.vault = segments[segVault]
	}
	if inVaults && len(segments) > segID {
		t.id = segments[segID]
	}
	return t, nil
}

// dispatch refines t where the query parameter operation decides.
func (r router) dispatch(t *target, operation string) {
	if operation == "" {
		return
	}
	if op := r[t.key+byOperation+operation]; op != nil {
		t.op = op
	}
}
