#!/usr/bin/env bash
# Drives IAM and STS with the AWS command line client. It wants ENDPOINT,
# ACCOUNT and the usual AWS_* variables of the root; run.sh provides them.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checked=0

iam() { aws iam --endpoint-url "$ENDPOINT" --output json "$@"; }
sts() { aws sts --endpoint-url "$ENDPOINT" --output json "$@"; }
glacier() { aws glacier --endpoint-url "$ENDPOINT" --output json "$@"; }
field() { python3 -c 'import json, sys; v = json.load(sys.stdin)
for k in sys.argv[1].split("."): v = v[int(k)] if k.isdigit() else v[k]
print(v)' "$1"; }
ok() { checked=$((checked + 1)); echo "iam.sh: $*"; }
same() { # same WHAT GOT WANT
	[[ $2 == "$3" ]] || { echo "iam.sh: $1: got '$2', want '$3'" >&2; exit 1; }
	ok "$1"
}
# refused TEXT COMMAND...: the command must fail and say TEXT.
refused() {
	local want=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "iam.sh: $* succeeded, want: $want" >&2
		exit 1
	fi
	[[ $out == *"$want"* ]] || { echo "iam.sh: $*: got '$out', want '$want'" >&2; exit 1; }
	ok "refused: $want"
}
# as FILE COMMAND...: runs a command with the key that create-access-key wrote.
as() {
	local file=$1
	shift
	AWS_ACCESS_KEY_ID=$(field AccessKey.AccessKeyId <"$file") AWS_SECRET_ACCESS_KEY=$(field AccessKey.SecretAccessKey <"$file") "$@"
}
document() { printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"%s","Resource":"%s"}]}' "$1" "$2"; }

arn=arn:aws:iam::$ACCOUNT
same "get-caller-identity" "$(sts get-caller-identity | field Arn)" "$arn:root"
same "get-user as root" "$(iam get-user | field User.UserId)" "$ACCOUNT"
same "create-user" "$(iam create-user --user-name cli-bob --path /ops/ --tags Key=team,Value=blue | field User.Arn)" "$arn:user/ops/cli-bob"
refused "(EntityAlreadyExists) when calling the CreateUser operation: User with name CLI-Bob already exists." iam create-user --user-name CLI-Bob
refused "(NoSuchEntity) when calling the GetUser operation: The user with name nobody cannot be found." iam get-user --user-name nobody
refused "(ValidationError)" iam create-user --user-name 'a b'
same "list-users" "$(iam list-users --path-prefix /ops/ | field Users.0.UserName)" cli-bob
same "list-user-tags" "$(iam list-user-tags --user-name cli-bob | field Tags.0.Value)" blue
iam tag-user --user-name cli-bob --tags Key=Team,Value=red
same "tags ignore case" "$(iam list-user-tags --user-name cli-bob | field Tags)" "[{'Key': 'Team', 'Value': 'red'}]"

iam create-access-key --user-name cli-bob >"$work/bob"
iam create-access-key --user-name cli-bob >"$work/second"
refused "(LimitExceeded) when calling the CreateAccessKey operation: Cannot exceed quota for AccessKeysPerUser: 2" iam create-access-key --user-name cli-bob
same "list-access-keys" "$(iam list-access-keys --user-name cli-bob | python3 -c 'import json, sys; print([k["Status"] for k in json.load(sys.stdin)["AccessKeyMetadata"]])')" "['Active', 'Active']"
same "a user may ask who it is" "$(as "$work/bob" sts get-caller-identity | field Arn)" "$arn:user/ops/cli-bob"
refused "(AccessDenied) when calling the CreateAccessKey operation: User: $arn:user/ops/cli-bob is not authorized to perform: iam:CreateAccessKey on resource: $arn:user/ops/cli-bob because no identity-based policy allows the iam:CreateAccessKey action" \
	as "$work/bob" iam create-access-key

glacier create-vault --account-id - --vault-name iam-vault >/dev/null
vault=arn:aws:glacier:$AWS_DEFAULT_REGION:$ACCOUNT:vaults/iam-vault
denied="(AccessDeniedException) when calling the DescribeVault operation: User: $arn:user/ops/cli-bob is not authorized to perform: glacier:DescribeVault on resource: $vault because no identity-based policy allows the glacier:DescribeVault action"
refused "$denied" as "$work/bob" glacier describe-vault --account-id - --vault-name iam-vault
for wrong in '{' '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"glacier:*","Resource":"*","Resources":"*"}]}'; do
	refused "(MalformedPolicyDocument) when calling the PutUserPolicy operation: Syntax errors in policy." \
		iam put-user-policy --user-name cli-bob --policy-name look --policy-document "$wrong"
done
refused "Policy document should not specify a principal." iam put-user-policy --user-name cli-bob --policy-name look \
	--policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"glacier:*","Resource":"*"}]}'
iam put-user-policy --user-name cli-bob --policy-name look --policy-document "$(document glacier:DescribeVault "$vault")"
same "put-user-policy" "$(iam get-user-policy --user-name cli-bob --policy-name look | field PolicyDocument.Statement.0.Resource)" "$vault"
same "list-user-policies" "$(iam list-user-policies --user-name cli-bob | field PolicyNames)" "['look']"
same "the policy is in force" "$(as "$work/bob" glacier describe-vault --account-id - --vault-name iam-vault | field VaultARN)" "$vault"
iam update-access-key --user-name cli-bob --access-key-id "$(field AccessKey.AccessKeyId <"$work/bob")" --status Inactive
refused "(UnrecognizedClientException)" as "$work/bob" glacier describe-vault --account-id - --vault-name iam-vault
same "the other key still works" "$(as "$work/second" glacier describe-vault --account-id - --vault-name iam-vault | field VaultARN)" "$vault"
same "get-access-key-last-used" "$(iam get-access-key-last-used --access-key-id "$(field AccessKey.AccessKeyId <"$work/second")" | field AccessKeyLastUsed.ServiceName)" glacier
refused "(NoSuchEntity) when calling the DeleteAccessKey operation: The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found" \
	iam delete-access-key --user-name cli-bob --access-key-id AKIAAAAAAAAAAAAAAAAA
iam update-user --user-name cli-bob --new-user-name cli-rob --new-path /dev/
same "update-user keeps keys and policies" "$(as "$work/second" sts get-caller-identity | field Arn) $(as "$work/second" glacier describe-vault --account-id - --vault-name iam-vault | field VaultName)" \
	"$arn:user/dev/cli-rob iam-vault"

policy=$(iam create-policy --policy-name cli-policy --policy-document "$(document 'glacier:List*' '*')" | field Policy.Arn)
same "create-policy" "$policy" "$arn:policy/cli-policy"
refused "(EntityAlreadyExists) when calling the CreatePolicy operation: A policy called cli-policy already exists. Duplicate names are not allowed." \
	iam create-policy --policy-name cli-policy --policy-document "$(document 'glacier:List*' '*')"
refused "(NoSuchEntity) when calling the AttachUserPolicy operation: Policy $arn:policy/none does not exist or is not attachable." \
	iam attach-user-policy --user-name cli-rob --policy-arn "$arn:policy/none"
refused "(NoSuchEntity) when calling the GetPolicy operation: Policy $arn:policy/none was not found." iam get-policy --policy-arn "$arn:policy/none"
iam attach-user-policy --user-name cli-rob --policy-arn "$policy"
same "list-attached-user-policies" "$(iam list-attached-user-policies --user-name cli-rob | field AttachedPolicies.0.PolicyName)" cli-policy
same "an attached policy is in force" "$(as "$work/second" glacier list-vaults --account-id - | python3 -c 'import json, sys; print("iam-vault" in [v["VaultName"] for v in json.load(sys.stdin)["VaultList"]])')" True
for i in 2 3 4 5; do
	same "create-policy-version" "$(iam create-policy-version --policy-arn "$policy" --policy-document "$(document "glacier:List$i*" '*')" | field PolicyVersion.VersionId)" v$i
done
refused "(LimitExceeded)" iam create-policy-version --policy-arn "$policy" --policy-document "$(document 'glacier:*' '*')"
refused "(DeleteConflict) when calling the DeletePolicyVersion operation: Cannot delete the default version of a policy." iam delete-policy-version --policy-arn "$policy" --version-id v1
same "list-policies" "$(iam list-policies --scope Local --only-attached | field Policies.0.AttachmentCount)" 1
same "list-policies of AWS" "$(iam list-policies --scope AWS | field Policies)" "[]"

refused "(MalformedPolicyDocument)" iam create-role --role-name cli-role --assume-role-policy-document \
	"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"$arn:user/nobody\"},\"Action\":\"sts:AssumeRole\"}]}"
iam create-role --role-name cli-role --assume-role-policy-document \
	"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"$ACCOUNT\"},\"Action\":\"sts:AssumeRole\"}]}" >/dev/null
refused "(AccessDenied)" as "$work/second" sts assume-role --role-arn "$arn:role/cli-role" --role-session-name cli
iam put-user-policy --user-name cli-rob --policy-name assume --policy-document "$(document sts:AssumeRole "$arn:role/cli-role")"
same "assume-role" "$(as "$work/second" sts assume-role --role-arn "$arn:role/cli-role" --role-session-name cli | field AssumedRoleUser.Arn)" \
	"arn:aws:sts::$ACCOUNT:assumed-role/cli-role/cli"

for list in list-ssh-public-keys list-mfa-devices list-signing-certificates list-service-specific-credentials; do
	iam $list --user-name cli-rob >/dev/null
	ok "$list"
done
iam list-virtual-mfa-devices >/dev/null
iam list-account-aliases >/dev/null
iam list-instance-profiles-for-role --role-name cli-role >/dev/null
same "get-account-summary" "$(iam get-account-summary | field SummaryMap.AccessKeysPerUserQuota)" 2
refused "(NoSuchEntity)" iam get-login-profile --user-name cli-rob
refused "(NoSuchEntity)" iam delete-login-profile --user-name cli-rob
refused "(InvalidAction)" iam list-saml-providers

iam delete-role --role-name cli-role
refused "Cannot delete entity, must delete policies first." iam delete-user --user-name cli-rob
iam delete-user-policy --user-name cli-rob --policy-name look
iam delete-user-policy --user-name cli-rob --policy-name assume
refused "Cannot delete entity, must detach all policies first." iam delete-user --user-name cli-rob
iam detach-user-policy --user-name cli-rob --policy-arn "$policy"
refused "Cannot delete entity, must delete access keys first." iam delete-user --user-name cli-rob
for file in bob second; do
	iam delete-access-key --user-name cli-rob --access-key-id "$(field AccessKey.AccessKeyId <"$work/$file")"
done
iam delete-user --user-name cli-rob
refused "This policy has more than one version." iam delete-policy --policy-arn "$policy"
for i in 2 3 4 5; do
	iam delete-policy-version --policy-arn "$policy" --version-id v$i
done
iam delete-policy --policy-arn "$policy"
glacier delete-vault --account-id - --vault-name iam-vault
echo "iam.sh: $checked checks passed"
