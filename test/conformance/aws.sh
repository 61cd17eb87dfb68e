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
