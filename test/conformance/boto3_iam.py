#!/usr/bin/env python3
"""Drives IAM, STS and Glacier together with boto3: who is allowed what, and
what a refusal says. It wants ENDPOINT, ACCOUNT and the usual AWS_* variables
of the root; run.sh provides them."""

import json
import os
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["ENDPOINT"]
ACCOUNT = os.environ["ACCOUNT"]
REGION = os.environ["AWS_DEFAULT_REGION"]
CONFIG = Config(retries={"total_max_attempts": 1})
checked = 0


def client(service, key=None):
    auth = {}
    if key:
        auth = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        if "SessionToken" in key:
            auth["aws_session_token"] = key["SessionToken"]
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION, config=CONFIG, **auth)


def ok(what):
    global checked
    checked += 1
    print(f"boto3_iam.py: {what}")


def same(what, got, want):
    if got != want:
        sys.exit(f"boto3_iam.py: {what}: got {got!r}, want {want!r}")
    ok(what)


def refused(what, code, message, call, **params):
    try:
        call(**params)
    except ClientError as e:
        got = e.response["Error"]
        if got["Code"] != code or got["Message"] != message:
            sys.exit(f"boto3_iam.py: {what}: got {got['Code']}: {got['Message']}\nwant {code}: {message}")
        return ok(what)
    sys.exit(f"boto3_iam.py: {what}: succeeded, want {code}")


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions, resource="*", **more):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def deny(*actions, resource="*", **more):
    return {"Effect": "Deny", "Action": list(actions), "Resource": resource, **more}


def trust(principal, **more):
    return json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole", **more}],
    })


def vault_arn(name):
    return f"arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/{name}"


def denial(who, op, name, why):
    return f"User: {who} is not authorized to perform: glacier:{op} on resource: {vault_arn(name)}{why}"


iam, sts, root = client("iam"), client("sts"), client("glacier")
same("the root is the caller", sts.get_caller_identity()["Arn"], f"arn:aws:iam::{ACCOUNT}:root")
for name in ("iam-a", "iam-b"):
    root.create_vault(vaultName=name)

# A user can do what its policy says, from the next call on, and nothing else.
user = iam.create_user(UserName="alice", Path="/staff/", Tags=[{"Key": "team", "Value": "ops"}])["User"]
key = iam.create_access_key(UserName="alice")["AccessKey"]
same("the shape of a key", (key["AccessKeyId"][:4], len(key["AccessKeyId"]), len(key["SecretAccessKey"])), ("AKIA", 20, 40))
alice = client("glacier", key)
who = client("sts", key).get_caller_identity()
same("the user is the caller", (who["Arn"], who["UserId"], who["Account"]), (user["Arn"], user["UserId"], ACCOUNT))
implicit = " because no identity-based policy allows the glacier:DescribeVault action"
refused("deny by default", "AccessDeniedException", denial(user["Arn"], "DescribeVault", "iam-a", implicit), alice.describe_vault, vaultName="iam-a")
refused("deny by default tells nothing about existence", "AccessDeniedException",
        denial(user["Arn"], "DescribeVault", "no-such", implicit), alice.describe_vault, vaultName="no-such")
refused("deny by default in IAM", "AccessDenied",
        f"User: {user['Arn']} is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::{ACCOUNT}:user/"
        " because no identity-based policy allows the iam:ListUsers action", client("iam", key).list_users)
text = policy(allow("glacier:DescribeVault", "glacier:UploadArchive", resource=vault_arn("iam-a")))
iam.put_user_policy(UserName="alice", PolicyName="one-vault", PolicyDocument=text)
same("a policy comes back", iam.get_user_policy(UserName="alice", PolicyName="one-vault")["PolicyDocument"], json.loads(text))
same("an allowed read", alice.describe_vault(vaultName="iam-a")["VaultName"], "iam-a")
archive = alice.upload_archive(vaultName="iam-a", body=b"data of alice")["archiveId"]
ok("an allowed write")
refused("another vault", "AccessDeniedException", denial(user["Arn"], "DescribeVault", "iam-b", implicit), alice.describe_vault, vaultName="iam-b")
refused("another action", "AccessDeniedException",
        denial(user["Arn"], "DeleteArchive", "iam-a", " because no identity-based policy allows the glacier:DeleteArchive action"),
        alice.delete_archive, vaultName="iam-a", archiveId=archive)
iam.put_user_policy(UserName="alice", PolicyName="one-vault", PolicyDocument=policy(
    allow("glacier:*"), deny("glacier:DeleteArchive", resource=vault_arn("iam-a"))))
refused("an explicit deny", "AccessDeniedException",
        denial(user["Arn"], "DeleteArchive", "iam-a", " with an explicit deny in an identity-based policy"),
        alice.delete_archive, vaultName="iam-a", archiveId=archive)
same("list-vaults", len(alice.list_vaults()["VaultList"]) >= 2, True)
iam.put_user_policy(UserName="alice", PolicyName="one-vault", PolicyDocument=policy(
    allow("glacier:DescribeVault", resource="arn:aws:glacier:*:*:vaults/${aws:username}-*"),
    allow("glacier:DescribeVault", resource=vault_arn("iam-b"), Condition={"StringEquals": {"aws:PrincipalTag/team": "ops"}, "IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})))
same("a condition on tag and address", alice.describe_vault(vaultName="iam-b")["VaultName"], "iam-b")
iam.untag_user(UserName="alice", TagKeys=["team"])
refused("the tag is gone", "AccessDeniedException", denial(user["Arn"], "DescribeVault", "iam-b", implicit), alice.describe_vault, vaultName="iam-b")

# Groups and managed policies with versions.
group = iam.create_group(GroupName="readers")["Group"]
same("a group", (group["GroupId"][:4], group["Arn"]), ("AGPA", f"arn:aws:iam::{ACCOUNT}:group/readers"))
managed = iam.create_policy(PolicyName="read", PolicyDocument=policy(allow("glacier:DescribeVault")), Description="looks")["Policy"]
iam.attach_group_policy(GroupName="readers", PolicyArn=managed["Arn"])
refused("not yet a member", "AccessDeniedException", denial(user["Arn"], "DescribeVault", "iam-b", implicit), alice.describe_vault, vaultName="iam-b")
iam.add_user_to_group(GroupName="readers", UserName="alice")
same("a member", alice.describe_vault(vaultName="iam-b")["VaultName"], "iam-b")
same("members", [u["UserName"] for u in iam.get_group(GroupName="readers")["Users"]], ["alice"])
same("groups of a user", [g["GroupName"] for g in iam.list_groups_for_user(UserName="alice")["Groups"]], ["readers"])
version = iam.create_policy_version(PolicyArn=managed["Arn"], PolicyDocument=policy(allow("glacier:ListVaults")), SetAsDefault=True)["PolicyVersion"]
same("a version", (version["VersionId"], version["IsDefaultVersion"]), ("v2", True))
refused("the new version is in force", "AccessDeniedException", denial(user["Arn"], "DescribeVault", "iam-b", implicit), alice.describe_vault, vaultName="iam-b")
iam.set_default_policy_version(PolicyArn=managed["Arn"], VersionId="v1")
same("the old one again", alice.describe_vault(vaultName="iam-b")["VaultName"], "iam-b")
same("versions", [(v["VersionId"], v["IsDefaultVersion"]) for v in iam.list_policy_versions(PolicyArn=managed["Arn"])["Versions"]], [("v2", False), ("v1", True)])
same("a version's text", iam.get_policy_version(PolicyArn=managed["Arn"], VersionId="v2")["PolicyVersion"]["Document"], json.loads(policy(allow("glacier:ListVaults"))))
same("who uses it", [g["GroupName"] for g in iam.list_entities_for_policy(PolicyArn=managed["Arn"])["PolicyGroups"]], ["readers"])
same("attachments are counted", iam.get_policy(PolicyArn=managed["Arn"])["Policy"]["AttachmentCount"], 1)
refused("a policy in use stays", "DeleteConflict", "Cannot delete a policy attached to entities.", iam.delete_policy, PolicyArn=managed["Arn"])
iam.remove_user_from_group(GroupName="readers", UserName="alice")
refused("no member any more", "AccessDeniedException", denial(user["Arn"], "DescribeVault", "iam-b", implicit), alice.describe_vault, vaultName="iam-b")

# A boundary narrows.
iam.put_user_policy(UserName="alice", PolicyName="one-vault", PolicyDocument=policy(allow("glacier:*")))
iam.put_user_permissions_boundary(UserName="alice", PermissionsBoundary=managed["Arn"])
same("inside the boundary", alice.describe_vault(vaultName="iam-a")["VaultName"], "iam-a")
refused("outside the boundary", "AccessDeniedException",
        denial(user["Arn"], "DeleteArchive", "iam-a", " because no permissions boundary allows the glacier:DeleteArchive action"),
        alice.delete_archive, vaultName="iam-a", archiveId=archive)
same("the boundary is shown", iam.get_user(UserName="alice")["User"]["PermissionsBoundary"],
     {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": managed["Arn"]})
iam.delete_user_permissions_boundary(UserName="alice")

# What a user might do.
answers = iam.simulate_principal_policy(PolicySourceArn=user["Arn"], ActionNames=["glacier:DeleteArchive", "iam:ListUsers"],
                                        ResourceArns=[vault_arn("iam-a")])["EvaluationResults"]
same("a simulation", [(a["EvalActionName"], a["EvalDecision"], len(a["MatchedStatements"])) for a in answers],
     [("glacier:DeleteArchive", "allowed", 1), ("iam:ListUsers", "implicitDeny", 0)])

# Roles and sessions.
role = iam.create_role(RoleName="keeper", Path="/svc/", AssumeRolePolicyDocument=trust(
    user["Arn"], Condition={"StringEquals": {"sts:ExternalId": "secret-word"}}), MaxSessionDuration=7200)["Role"]
same("a role", (role["RoleId"][:4], role["Arn"], role["MaxSessionDuration"]), ("AROA", f"arn:aws:iam::{ACCOUNT}:role/svc/keeper", 7200))
iam.put_role_policy(RoleName="keeper", PolicyName="all", PolicyDocument=policy(allow("glacier:*")))
mine = client("sts", key)
no = f"User: {user['Arn']} is not authorized to perform: sts:AssumeRole on resource: {role['Arn']}"
refused("without the external id", "AccessDenied", no, mine.assume_role, RoleArn=role["Arn"], RoleSessionName="night")
refused("root assumes no roles", "AccessDenied", "Roles may not be assumed by root accounts.", sts.assume_role,
        RoleArn=role["Arn"], RoleSessionName="night", ExternalId="secret-word")
out = mine.assume_role(RoleArn=role["Arn"], RoleSessionName="night", ExternalId="secret-word", DurationSeconds=900,
                       Policy=policy(allow("glacier:DescribeVault", "glacier:ListVaults")))
session = f"arn:aws:sts::{ACCOUNT}:assumed-role/keeper/night"
same("a session", (out["AssumedRoleUser"]["Arn"], out["AssumedRoleUser"]["AssumedRoleId"], out["Credentials"]["AccessKeyId"][:4]),
     (session, role["RoleId"] + ":night", "ASIA"))
night = client("glacier", out["Credentials"])
same("the session is the caller", client("sts", out["Credentials"]).get_caller_identity()["Arn"], session)
same("what role and session allow", night.describe_vault(vaultName="iam-a")["VaultName"], "iam-a")
refused("what only the role allows", "AccessDeniedException",
        denial(session, "DeleteArchive", "iam-a", " because no session policy allows the glacier:DeleteArchive action"),
        night.delete_archive, vaultName="iam-a", archiveId=archive)
refused("session tags need a right of their own", "AccessDenied", no, mine.assume_role, RoleArn=role["Arn"], RoleSessionName="night",
        ExternalId="secret-word", Tags=[{"Key": "team", "Value": "ops"}])
refused("too long a session", "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        mine.assume_role, RoleArn=role["Arn"], RoleSessionName="night", ExternalId="secret-word", DurationSeconds=7201)
invalid = "The security token included in the request is invalid."
bare = {k: v for k, v in out["Credentials"].items() if k != "SessionToken"}
refused("a session without its token", "UnrecognizedClientException", invalid, client("glacier", bare).list_vaults)
forged = dict(out["Credentials"], SessionToken=out["Credentials"]["SessionToken"][:-8] + "AAAAAAA=")
refused("a forged token", "UnrecognizedClientException", invalid, client("glacier", forged).list_vaults)
refused("a forged token in IAM", "InvalidClientTokenId", invalid, client("sts", forged).get_caller_identity)
token = mine.get_session_token(DurationSeconds=900)["Credentials"]
same("a user's session is the user", client("sts", token).get_caller_identity()["Arn"], user["Arn"])
same("a user's session does what the user may", client("glacier", token).describe_vault(vaultName="iam-a")["VaultName"], "iam-a")
refused("no session from a session", "AccessDenied", "Cannot call GetSessionToken with session credentials",
        client("sts", token).get_session_token)
iam.delete_role_policy(RoleName="keeper", PolicyName="all")
refused("a session sees changes of its role", "AccessDeniedException",
        denial(session, "DescribeVault", "iam-a", implicit), night.describe_vault, vaultName="iam-a")
iam.delete_role(RoleName="keeper")
refused("a session ends with its role", "UnrecognizedClientException", invalid, night.list_vaults)

# A key that is set inactive is refused at the next call.
iam.update_access_key(UserName="alice", AccessKeyId=key["AccessKeyId"], Status="Inactive")
refused("an inactive key", "UnrecognizedClientException", invalid, alice.list_vaults)
refused("an inactive key in STS", "InvalidClientTokenId", invalid, mine.get_caller_identity)
iam.update_access_key(UserName="alice", AccessKeyId=key["AccessKeyId"], Status="Active")
same("active again", len(alice.list_vaults()["VaultList"]) >= 2, True)
used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
same("the last use", (used["UserName"], used["AccessKeyLastUsed"]["ServiceName"], used["AccessKeyLastUsed"]["Region"]), ("alice", "glacier", REGION))
wrong = dict(key, SecretAccessKey="x" * 40)
refused("a wrong secret in IAM", "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."
        " Consult the service documentation for details.", client("iam", wrong).list_users)

# A vault's policy names the user; one that is made again under its name gains
# nothing.
iam.delete_user_policy(UserName="alice", PolicyName="one-vault")
root.set_vault_access_policy(vaultName="iam-b", policy={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"AWS": user["Arn"]}, "Action": "glacier:DescribeVault", "Resource": vault_arn("iam-b")}]})})
same("a vault's policy allows", alice.describe_vault(vaultName="iam-b")["VaultName"], "iam-b")
iam.delete_access_key(UserName="alice", AccessKeyId=key["AccessKeyId"])
iam.delete_user(UserName="alice")
refused("a deleted user", "UnrecognizedClientException", invalid, alice.list_vaults)
again = iam.create_user(UserName="alice", Path="/staff/")["User"]
same("the same name, another id", (again["Arn"] == user["Arn"], again["UserId"] == user["UserId"]), (True, False))
key = iam.create_access_key(UserName="alice")["AccessKey"]
refused("a user made again gains nothing", "AccessDeniedException",
        denial(user["Arn"], "DescribeVault", "iam-b", implicit), client("glacier", key).describe_vault, vaultName="iam-b")

# The order in which things are taken down.
iam.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=policy(allow("iam:GetUser")))
same("a user reads itself", client("iam", key).get_user()["User"]["UserName"], "alice")
iam.attach_user_policy(UserName="alice", PolicyArn=managed["Arn"])
iam.add_user_to_group(GroupName="readers", UserName="alice")
for message, undo in (
    ("delete policies", lambda: iam.delete_user_policy(UserName="alice", PolicyName="p")),
    ("detach all policies", lambda: iam.detach_user_policy(UserName="alice", PolicyArn=managed["Arn"])),
    ("delete access keys", lambda: iam.delete_access_key(UserName="alice", AccessKeyId=key["AccessKeyId"])),
    ("remove users from group", lambda: iam.remove_user_from_group(GroupName="readers", UserName="alice")),
):
    refused("delete-user: " + message, "DeleteConflict", f"Cannot delete entity, must {message} first.", iam.delete_user, UserName="alice")
    undo()
iam.delete_user(UserName="alice")
iam.detach_group_policy(GroupName="readers", PolicyArn=managed["Arn"])
iam.delete_group(GroupName="readers")
iam.delete_policy_version(PolicyArn=managed["Arn"], VersionId="v2")
iam.delete_policy(PolicyArn=managed["Arn"])

# Paging, with names that differ only where it counts.
names = [f"page-{i:02d}" for i in range(23)]
for name in names:
    iam.create_user(UserName=name, Path="/page/" if name < "page-20" else "/rest/")
pages = list(iam.get_paginator("list_users").paginate(PathPrefix="/page/", PaginationConfig={"PageSize": 7}))
same("pages", [[u["UserName"] for u in p["Users"]] for p in pages], [names[0:7], names[7:14], names[14:20]])
same("the mark of the last page", [p["IsTruncated"] for p in pages], [True, True, False])
for name in names:
    iam.delete_user(UserName=name)
same("nobody is left", iam.list_users()["Users"], [])

root.delete_vault_access_policy(vaultName="iam-b")
root.delete_archive(vaultName="iam-a", archiveId=archive)
for name in ("iam-a", "iam-b"):
    root.delete_vault(vaultName=name)

# The wire itself: an unknown action, a wrong version.
from botocore.auth import SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402


def post(service, body):
    request = AWSRequest("POST", ENDPOINT + "/", data=body, headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
    SigV4Auth(Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]), service, "us-east-1").add_auth(request)
    raw = urllib.request.Request(request.url, data=body.encode(), headers=dict(request.headers), method="POST")
    try:
        with urllib.request.urlopen(raw) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["Content-Type"], e.read().decode()


status, kind, text = post("iam", "Action=CreateSAMLProvider&Version=2010-05-08")
same("an unknown action", (status, kind, "<Code>InvalidAction</Code>" in text, "<Type>Sender</Type>" in text), (400, "text/xml", True, True))
status, _, text = post("iam", "Action=ListUsers&Version=2011-06-15")
same("a wrong version", (status, "<Code>InvalidAction</Code>" in text), (400, True))
status, _, text = post("sts", "Action=GetCallerIdentity&Version=2011-06-15")
same("another region and service", (status, text.startswith('<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>')), (200, True))

print(f"boto3_iam.py: {checked} checks passed")
