package policy

// prefixGlacier begins the names of the actions this package knows.
const prefixGlacier = "glacier:"

// The actions that rules of evaluation name (access-control §5.2).
const (
	actionAbortVaultLock          = "glacier:AbortVaultLock"
	actionDeleteVaultAccessPolicy = "glacier:DeleteVaultAccessPolicy"
	actionGetVaultAccessPolicy    = "glacier:GetVaultAccessPolicy"
	actionSetVaultAccessPolicy    = "glacier:SetVaultAccessPolicy"
)

// vaultActions are the Glacier actions a vault's policies govern
// (access-control §4.1).
var vaultActions = []string{
	"glacier:AbortMultipartUpload",
	actionAbortVaultLock,
	"glacier:AddTagsToVault",
	"glacier:CompleteMultipartUpload",
	"glacier:CompleteVaultLock",
	"glacier:DeleteArchive",
	"glacier:DeleteVault",
	actionDeleteVaultAccessPolicy,
	"glacier:DeleteVaultNotifications",
	"glacier:DescribeJob",
	"glacier:DescribeVault",
	"glacier:GetJobOutput",
	actionGetVaultAccessPolicy,
	"glacier:GetVaultLock",
	"glacier:GetVaultNotifications",
	"glacier:InitiateJob",
	"glacier:InitiateMultipartUpload",
	"glacier:InitiateVaultLock",
	"glacier:ListJobs",
	"glacier:ListMultipartUploads",
	"glacier:ListParts",
	"glacier:ListTagsForVault",
	"glacier:RemoveTagsFromVault",
	actionSetVaultAccessPolicy,
	"glacier:SetVaultNotifications",
	"glacier:UploadArchive",
	"glacier:UploadMultipartPart",
}

// identityActions are the Glacier actions that only policies of users, groups
// and roles govern (access-control §3.6, §4.1).
var identityActions = []string{
	"glacier:CreateVault",
	"glacier:GetDataRetrievalPolicy",
	"glacier:ListProvisionedCapacity",
	"glacier:ListVaults",
	"glacier:PurchaseProvisionedCapacity",
	"glacier:SetDataRetrievalPolicy",
}

// matchesAny reports whether the pattern, which has no variables, covers one
// of the names.
func (p *pattern) matchesAny(names []string) bool {
	for _, name := range names {
		if p.match(name, nil) {
			return true
		}
	}
	return false
}
