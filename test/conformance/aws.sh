#!/usr/bin/env bash
# Drives a server with the AWS command line client. It wants ENDPOINT, ACCOUNT
# and the usual AWS_* variables; run.sh provides them.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
vault=cli-vault
checked=0

glacier() { aws glacier --endpoint-url "$ENDPOINT" --output json "$@"; }
field() { python3 -c 'import json, sys; v = json.load(sys.stdin)
for k in sys.argv[1].split("."): v = v[int(k)] if k.isdigit() else v[k]
print(v)' "$1"; }
ok() { checked=$((checked + 1)); echo "aws.sh: $*"; }
same() { # same WHAT GOT WANT
	[[ $2 == "$3" ]] || { echo "aws.sh: $1: got '$2', want '$3'" >&2; exit 1; }
	ok "$1"
}
# refused TEXT COMMAND...: the command must fail and say TEXT.
refused() {
	local want=$1 out
	shift
	if out=$(glacier "$@" 2>&1); then
		echo "aws.sh: $1 succeeded, want: $want" >&2
		exit 1
	fi
	[[ $out == *"$want"* ]] || { echo "aws.sh: $1: got '$out', want '$want'" >&2; exit 1; }
	ok "$1 refused: $want"
}
finish() { # finish JOB: waits for its end
	local status i
	for ((i = 0; i < 60; i++)); do
		status=$(glacier describe-job --account-id - --vault-name $vault --job-id="$1" | field StatusCode)
		[[ $status == InProgress ]] || break
	done
	same "job ends" "$status" Succeeded
}
treehash() { python3 - "$1" <<'P'
import hashlib, sys
data = open(sys.argv[1], "rb").read()
level = [hashlib.sha256(data[i:i + (1 << 20)]).digest() for i in range(0, len(data), 1 << 20)]
while len(level) > 1:
    level = [hashlib.sha256(b"".join(level[i:i + 2])).digest() if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
print(level[0].hex())
P
}

same "create-vault" "$(glacier create-vault --account-id - --vault-name $vault | field location)" "/$ACCOUNT/vaults/$vault"
same "describe-vault" "$(glacier describe-vault --account-id "$ACCOUNT" --vault-name $vault | field VaultARN)" \
	"arn:aws:glacier:$AWS_DEFAULT_REGION:$ACCOUNT:vaults/$vault"
same "list-vaults" "$(glacier list-vaults --account-id - | field VaultList.0.VaultName)" $vault
glacier wait vault-exists --account-id - --vault-name $vault
ok "wait vault-exists"

head -c 3145805 /dev/urandom >"$work/data"
sum=$(treehash "$work/data")
glacier upload-archive --account-id - --vault-name $vault --archive-description "from the <cli>" --body "$work/data" >"$work/up"
same "upload-archive checksum" "$(field checksum <"$work/up")" "$sum"
archive=$(field archiveId <"$work/up")

split -b 1048576 -d -a 2 "$work/data" "$work/part."
glacier initiate-multipart-upload --account-id - --vault-name $vault --part-size 1048576 --archive-description parts >"$work/mp"
upload=$(field uploadId <"$work/mp")
same "initiate-multipart-upload" "$(field location <"$work/mp")" "/$ACCOUNT/vaults/$vault/multipart-uploads/$upload"
for i in 2 0 3 1; do
	part=$work/part.0$i
	first=$((i * 1048576)) size=$(stat -c %s "$part")
	same "upload-multipart-part $i" "$(glacier upload-multipart-part --account-id - --vault-name $vault --upload-id="$upload" \
		--range "bytes $first-$((first + size - 1))/*" --body "$part" | field checksum)" "$(treehash "$part")"
done
same "list-parts" "$(glacier list-parts --account-id - --vault-name $vault --upload-id="$upload" | field Parts.3.RangeInBytes)" 3145728-3145804
same "list-multipart-uploads" "$(glacier list-multipart-uploads --account-id - --vault-name $vault | field UploadsList.0.MultipartUploadId)" "$upload"
refused "Invalid x-amz-sha256-tree-hash" complete-multipart-upload --account-id - --vault-name $vault --upload-id="$upload" \
	--archive-size 3145805 --checksum "$(printf '0%.0s' {1..64})"
glacier complete-multipart-upload --account-id - --vault-name $vault --upload-id="$upload" --archive-size 3145805 --checksum "$sum" >"$work/done"
same "complete-multipart-upload" "$(field checksum <"$work/done")" "$sum"
joined=$(field archiveId <"$work/done")
refused "The upload ID was not found" list-parts --account-id - --vault-name $vault --upload-id="$upload"

spare=$(glacier initiate-multipart-upload --account-id - --vault-name $vault --part-size 2097152 | field uploadId)
glacier abort-multipart-upload --account-id - --vault-name $vault --upload-id="$spare"
glacier abort-multipart-upload --account-id - --vault-name $vault --upload-id="$spare"
same "abort-multipart-upload" "$(glacier list-multipart-uploads --account-id - --vault-name $vault | field UploadsList)" "[]"

for id in "$archive" "$joined"; do
	job=$(glacier initiate-job --account-id - --vault-name $vault \
		--job-parameters "{\"Type\": \"archive-retrieval\", \"ArchiveId\": \"$id\", \"Tier\": \"Expedited\"}" | field jobId)
	finish "$job"
	same "get-job-output" "$(glacier get-job-output --account-id - --vault-name $vault --job-id="$job" "$work/out" | field checksum)" "$sum"
	cmp "$work/data" "$work/out"
	ok "bytes of the archive"
	glacier get-job-output --account-id - --vault-name $vault --job-id="$job" --range bytes=0-1048575 "$work/out" >"$work/meta"
	same "get-job-output --range" "$(field checksum <"$work/meta") $(field status <"$work/meta")" "$(treehash "$work/part.00") 206"
	cmp "$work/part.00" "$work/out"
	# The reference of the command shows this form; the service ignores it.
	glacier get-job-output --account-id - --vault-name $vault --job-id="$job" --range 'bytes 0-1048575/*' "$work/out" >"$work/meta"
	same "get-job-output with a part range" "$(field status <"$work/meta") $(stat -c %s "$work/out")" "200 3145805"
done
refused "not currently available for download" get-job-output --account-id - --vault-name $vault \
	--job-id="$(glacier initiate-job --account-id - --vault-name $vault \
		--job-parameters "{\"Type\": \"archive-retrieval\", \"ArchiveId\": \"$archive\", \"Tier\": \"Bulk\"}" | field jobId)" "$work/none"

for format in JSON CSV; do
	job=$(glacier initiate-job --account-id - --vault-name $vault --job-parameters "{\"Type\": \"inventory-retrieval\", \"Format\": \"$format\"}" | field jobId)
	finish "$job"
	glacier get-job-output --account-id - --vault-name $vault --job-id="$job" "$work/inventory.$format" >"$work/meta"
done
same "inventory in JSON" "$(python3 -c 'import json, sys
print(sorted((a["ArchiveDescription"], a["Size"]) for a in json.load(open(sys.argv[1]))["ArchiveList"]))' "$work/inventory.JSON")" \
	"[('from the <cli>', 3145805), ('parts', 3145805)]"
same "inventory in CSV" "$(head -n 1 "$work/inventory.CSV") $(wc -l <"$work/inventory.CSV")" \
	"ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash 3"
same "list-jobs" "$(glacier list-jobs --account-id - --vault-name $vault --statuscode InProgress --completed false | field JobList.0.Tier)" Bulk
same "list-jobs --page-size" "$(glacier list-jobs --account-id - --vault-name $vault --page-size 1 | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["JobList"]))')" 5

# Tags, policies, the lock and the settings of the account. A lock that is
# complete stays with its vault, so it gets one of its own.
glacier add-tags-to-vault --account-id - --vault-name $vault --tags team=ledger,env=
same "add-tags-to-vault" "$(glacier list-tags-for-vault --account-id - --vault-name $vault | field Tags)" "{'env': '', 'team': 'ledger'}"
glacier remove-tags-from-vault --account-id - --vault-name $vault --tag-keys env nosuch
same "remove-tags-from-vault" "$(glacier list-tags-for-vault --account-id - --vault-name $vault | field Tags)" "{'team': 'ledger'}"
refused "(InvalidParameterValueException) when calling the AddTagsToVault operation: Invalid tag key: aws:x" \
	add-tags-to-vault --account-id - --vault-name $vault --tags aws:x=1

arn=arn:aws:glacier:$AWS_DEFAULT_REGION:$ACCOUNT:vaults
# document VAULT EFFECT ACTION [CONDITION] prints the argument of --policy.
document() {
	python3 -c 'import json, sys
vault, effect, action, *condition = sys.argv[1:]
statement = {"Sid": "cli", "Effect": effect, "Principal": "*", "Action": action, "Resource": vault}
if condition: statement["Condition"] = json.loads(condition[0])
print(json.dumps({"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}))' "$arn/$1" "${@:2}"
}
refused "(ResourceNotFoundException) when calling the GetVaultAccessPolicy operation: No vault access policy is set for: $vault" \
	get-vault-access-policy --account-id - --vault-name $vault
document $vault Deny glacier:ListJobs >"$work/access"
glacier set-vault-access-policy --account-id - --vault-name $vault --policy "file://$work/access"
same "set-vault-access-policy" "$(glacier get-vault-access-policy --account-id - --vault-name $vault | field policy.Policy)" "$(field Policy <"$work/access")"
refused "with an explicit deny in a resource-based policy" list-jobs --account-id - --vault-name $vault
refused "(InvalidParameterValueException) when calling the SetVaultAccessPolicy operation: The specified vault access policy is invalid. Provide a valid policy." \
	set-vault-access-policy --account-id - --vault-name $vault --policy '{"Policy": "{}"}'
glacier delete-vault-access-policy --account-id - --vault-name $vault
glacier delete-vault-access-policy --account-id - --vault-name $vault
ok "delete-vault-access-policy, repeated"
glacier list-jobs --account-id - --vault-name $vault >/dev/null

topic=arn:aws:sns:$AWS_DEFAULT_REGION:$ACCOUNT:done
refused "(ResourceNotFoundException) when calling the GetVaultNotifications operation: No notification configuration is set for vault:" \
	get-vault-notifications --account-id - --vault-name $vault
glacier set-vault-notifications --account-id - --vault-name $vault \
	--vault-notification-config "{\"SNSTopic\": \"$topic\", \"Events\": [\"ArchiveRetrievalCompleted\"]}"
same "set-vault-notifications" "$(glacier get-vault-notifications --account-id - --vault-name $vault | field vaultNotificationConfig.SNSTopic)" "$topic"
glacier delete-vault-notifications --account-id - --vault-name $vault
glacier delete-vault-notifications --account-id - --vault-name $vault
ok "delete-vault-notifications, repeated"

locked=cli-locked
glacier create-vault --account-id - --vault-name $locked >/dev/null
stone=$(glacier upload-archive --account-id - --vault-name $locked --body "$work/part.03" | field archiveId)
refused "No vault lock policy is set for: $locked" get-vault-lock --account-id - --vault-name $locked
document $locked Deny glacier:DeleteArchive '{"NumericLessThan": {"glacier:ArchiveAgeInDays": "365"}}' >"$work/lock"
glacier abort-vault-lock --account-id - --vault-name $locked
first=$(glacier initiate-vault-lock --account-id - --vault-name $locked --policy "file://$work/lock" | field lockId)
same "initiate-vault-lock" ${#first} 24
glacier get-vault-lock --account-id - --vault-name $locked >"$work/got"
same "get-vault-lock" "$(field State <"$work/got") $(field Policy <"$work/got")" "InProgress $(field Policy <"$work/lock")"
denied="(AccessDeniedException) when calling the DeleteArchive operation: User: arn:aws:iam::$ACCOUNT:root is not authorized to perform: glacier:DeleteArchive on resource: $arn/$locked with an explicit deny in a resource-based policy"
refused "$denied" delete-archive --account-id - --vault-name $locked --archive-id="$stone"
refused "(AccessDeniedException) when calling the InitiateVaultLock operation: Vault lock is already in progress for: $arn/$locked" \
	initiate-vault-lock --account-id - --vault-name $locked --policy "file://$work/lock"
glacier abort-vault-lock --account-id - --vault-name $locked
refused "No vault lock in progress for: $arn/$locked" complete-vault-lock --account-id - --vault-name $locked --lock-id="$first"
lock=$(glacier initiate-vault-lock --account-id - --vault-name $locked --policy "file://$work/lock" | field lockId)
refused "(InvalidParameterValueException) when calling the CompleteVaultLock operation: Invalid lock ID: $first" \
	complete-vault-lock --account-id - --vault-name $locked --lock-id="$first"
glacier complete-vault-lock --account-id - --vault-name $locked --lock-id="$lock"
glacier complete-vault-lock --account-id - --vault-name $locked --lock-id="$lock"
same "complete-vault-lock, repeated" "$(glacier get-vault-lock --account-id - --vault-name $locked | field State)" Locked
refused "(AccessDeniedException) when calling the AbortVaultLock operation: Vault is already locked: $arn/$locked" abort-vault-lock --account-id - --vault-name $locked
refused "$denied" delete-archive --account-id - --vault-name $locked --archive-id="$stone"
refused "Vault not empty or recently written to" delete-vault --account-id - --vault-name $locked

standard="{\"Type\": \"archive-retrieval\", \"ArchiveId\": \"$archive\", \"Tier\": \"Standard\"}"
same "get-data-retrieval-policy" "$(glacier get-data-retrieval-policy --account-id - | field Policy.Rules.0.Strategy)" None
glacier set-data-retrieval-policy --account-id - --policy '{"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 1024}]}'
same "set-data-retrieval-policy" "$(glacier get-data-retrieval-policy --account-id - | field Policy.Rules.0)" "{'Strategy': 'BytesPerHour', 'BytesPerHour': 1024}"
refused "(PolicyEnforcedException) when calling the InitiateJob operation: InitiateJob request denied by current data retrieval policy." \
	initiate-job --account-id - --vault-name $vault --job-parameters "$standard"
refused "Invalid BytesPerHour: 0" set-data-retrieval-policy --account-id - --policy '{"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 0}]}'
glacier set-data-retrieval-policy --account-id - --policy '{"Rules": [{"Strategy": "None"}]}'
glacier initiate-job --account-id - --vault-name $vault --job-parameters "$standard" >/dev/null
ok "a job without limit"
# The other clients buy capacity of the same account, in regions of their own.
before=$(glacier list-provisioned-capacity --account-id - | field ProvisionedCapacityList)
same "list-provisioned-capacity" "$before" "[]"
unit=$(glacier purchase-provisioned-capacity --account-id - | field capacityId)
same "purchase-provisioned-capacity" "$(glacier list-provisioned-capacity --account-id - | field ProvisionedCapacityList.0.CapacityId)" "$unit"
glacier purchase-provisioned-capacity --account-id - >/dev/null
refused "(LimitExceededException) when calling the PurchaseProvisionedCapacity operation: Provisioned capacity limit exceeded for account: $ACCOUNT" \
	purchase-provisioned-capacity --account-id -

refused "Vault not empty or recently written to" delete-vault --account-id - --vault-name $vault
for id in "$archive" "$joined" "$joined"; do
	glacier delete-archive --account-id - --vault-name $vault --archive-id="$id"
done
ok "delete-archive, repeated"
refused "The archive ID was not found" initiate-job --account-id - --vault-name $vault \
	--job-parameters "{\"Type\": \"archive-retrieval\", \"ArchiveId\": \"$archive\"}"
glacier delete-vault --account-id - --vault-name $vault
glacier delete-vault --account-id - --vault-name $vault
ok "delete-vault, repeated"
glacier wait vault-not-exists --account-id - --vault-name $vault
ok "wait vault-not-exists"
refused "Vault not found for ARN: arn:aws:glacier:$AWS_DEFAULT_REGION:$ACCOUNT:vaults/$vault" describe-vault --account-id - --vault-name $vault
echo "aws.sh: $checked checks passed"
