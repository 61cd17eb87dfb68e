"""Drives a server with the boto3 client: all 33 operations, both waiters and all
four paginators. It wants ENDPOINT, ACCOUNT and the usual AWS_* variables; run.sh
provides them. It ends at the first difference."""

import hashlib
import io
import json
import os
import sys
import time

import boto3
from botocore.exceptions import ClientError
from botocore.utils import calculate_tree_hash

ACCOUNT = os.environ["ACCOUNT"]
REGION = os.environ["AWS_DEFAULT_REGION"]
VAULT = "boto3-client"
MIB = 1 << 20
checked = 0


def same(what, got, want):
    global checked
    if got != want:
        sys.exit(f"boto3_client.py: {what}: got {got!r}, want {want!r}")
    checked += 1
    print(f"boto3_client.py: {what}")


def refused(what, code, message, call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as e:
        same(what, (e.response["Error"]["Code"], e.response["Error"]["Message"]), (code, message))
        return
    sys.exit(f"boto3_client.py: {what}: succeeded, want {code}")


def tree(data):
    return calculate_tree_hash(io.BytesIO(data))


def finish(client, **parameters):
    job = client.initiate_job(vaultName=VAULT, jobParameters=parameters)["jobId"]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        got = client.describe_job(vaultName=VAULT, jobId=job)
        if got["Completed"]:
            same("job ends", (got["StatusCode"], got["StatusMessage"]), ("Succeeded", "Succeeded"))
            return job, got
        time.sleep(0.05)
    sys.exit(f"boto3_client.py: job {job} does not end")


def document(vault, effect, action, **condition):
    statement = {"Sid": "boto3", "Effect": effect, "Principal": "*", "Action": action,
                 "Resource": f"arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/{vault}"}
    if condition:
        statement["Condition"] = condition
    return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=1)}


def tags(client):
    client.add_tags_to_vault(vaultName=VAULT, Tags={"team": "ledger", "env": "", "Ünï": "ä b"})
    same("add_tags_to_vault", client.list_tags_for_vault(vaultName=VAULT)["Tags"], {"team": "ledger", "env": "", "Ünï": "ä b"})
    client.remove_tags_from_vault(vaultName=VAULT, TagKeys=["env", "nosuch"])
    same("remove_tags_from_vault", client.list_tags_for_vault(vaultName=VAULT)["Tags"], {"team": "ledger", "Ünï": "ä b"})
    refused("add_tags_to_vault with eleven", "InvalidParameterValueException", "Invalid Tags: 11 entries where 1 to 10 are allowed",
            client.add_tags_to_vault, vaultName=VAULT, Tags={str(i): "" for i in range(11)})
    refused("list_tags_for_vault of no vault", "ResourceNotFoundException",
            f"Vault not found for ARN: arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/nosuch", client.list_tags_for_vault, vaultName="nosuch")


def notifications(client):
    refused("get_vault_notifications of none", "ResourceNotFoundException",
            f"No notification configuration is set for vault: arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/{VAULT}",
            client.get_vault_notifications, vaultName=VAULT)
    wanted = {"SNSTopic": f"arn:aws:sns:{REGION}:{ACCOUNT}:done", "Events": ["ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"]}
    client.set_vault_notifications(vaultName=VAULT, vaultNotificationConfig=wanted)
    same("set_vault_notifications", client.get_vault_notifications(vaultName=VAULT)["vaultNotificationConfig"], wanted)
    refused("set_vault_notifications of an unknown event", "InvalidParameterValueException", "Invalid Events: Other",
            client.set_vault_notifications, vaultName=VAULT, vaultNotificationConfig={**wanted, "Events": ["Other"]})
    for _ in range(2):
        client.delete_vault_notifications(vaultName=VAULT)
    refused("get_vault_notifications after delete", "ResourceNotFoundException",
            f"No notification configuration is set for vault: arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/{VAULT}",
            client.get_vault_notifications, vaultName=VAULT)


def access_policy(client):
    refused("get_vault_access_policy of none", "ResourceNotFoundException", f"No vault access policy is set for: {VAULT}",
            client.get_vault_access_policy, vaultName=VAULT)
    policy = document(VAULT, "Deny", "glacier:DescribeVault")
    client.set_vault_access_policy(vaultName=VAULT, policy=policy)
    same("set_vault_access_policy", client.get_vault_access_policy(vaultName=VAULT)["policy"], policy)
    refused("an access policy binds root", "AccessDeniedException",
            f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: glacier:DescribeVault on resource: "
            f"arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/{VAULT} with an explicit deny in a resource-based policy",
            client.describe_vault, vaultName=VAULT)
    refused("set_vault_access_policy with a bad one", "InvalidParameterValueException",
            "The specified vault access policy is invalid. Provide a valid policy. (/Statement: missing)",
            client.set_vault_access_policy, vaultName=VAULT, policy={"Policy": '{"Version":"2012-10-17"}'})
    for _ in range(2):
        client.delete_vault_access_policy(vaultName=VAULT)
    same("delete_vault_access_policy, repeated", client.describe_vault(vaultName=VAULT)["VaultName"], VAULT)


def lock(client):
    vault = "boto3-locked"
    arn = f"arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/{vault}"
    client.create_vault(vaultName=vault)
    stone = client.upload_archive(vaultName=vault, body=b"a stone")["archiveId"]
    policy = document(vault, "Deny", "glacier:DeleteArchive", NumericLessThan={"glacier:ArchiveAgeInDays": "365"})
    refused("get_vault_lock of none", "ResourceNotFoundException", f"No vault lock policy is set for: {vault}", client.get_vault_lock, vaultName=vault)
    client.abort_vault_lock(vaultName=vault)
    first = client.initiate_vault_lock(vaultName=vault, policy=policy)["lockId"]
    got = client.get_vault_lock(vaultName=vault)
    same("get_vault_lock in progress", (got["State"], got["Policy"], got["ExpirationDate"] > got["CreationDate"]), ("InProgress", policy["Policy"], True))
    refused("initiate_vault_lock twice", "AccessDeniedException", f"Vault lock is already in progress for: {arn}",
            client.initiate_vault_lock, vaultName=vault, policy=policy)
    client.abort_vault_lock(vaultName=vault)
    refused("complete_vault_lock after abort_vault_lock", "ResourceNotFoundException", f"No vault lock in progress for: {arn}",
            client.complete_vault_lock, vaultName=vault, lockId=first)
    second = client.initiate_vault_lock(vaultName=vault, policy=policy)["lockId"]
    refused("complete_vault_lock with the wrong id", "InvalidParameterValueException", f"Invalid lock ID: {first}",
            client.complete_vault_lock, vaultName=vault, lockId=first)
    for _ in range(2):
        client.complete_vault_lock(vaultName=vault, lockId=second)
    got = client.get_vault_lock(vaultName=vault)
    same("complete_vault_lock, repeated", (got["State"], got.get("ExpirationDate")), ("Locked", None))
    for what, call, kwargs in (("abort_vault_lock", client.abort_vault_lock, {}),
                               ("initiate_vault_lock", client.initiate_vault_lock, {"policy": policy}),
                               ("complete_vault_lock with the wrong id", client.complete_vault_lock, {"lockId": first})):
        refused(f"{what}, locked", "AccessDeniedException", f"Vault is already locked: {arn}", call, vaultName=vault, **kwargs)
    refused("root may not delete", "AccessDeniedException",
            f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: glacier:DeleteArchive on resource: {arn} "
            "with an explicit deny in a resource-based policy", client.delete_archive, vaultName=vault, archiveId=stone)


def settings(session, archive):
    """Capacity is counted per region, and aws.sh has bought that of the default one."""
    here = session("glacier", endpoint_url=os.environ["ENDPOINT"])
    there = session("glacier", endpoint_url=os.environ["ENDPOINT"], region_name="us-east-1")
    same("get_data_retrieval_policy", here.get_data_retrieval_policy()["Policy"]["Rules"][0]["Strategy"], "None")
    here.set_data_retrieval_policy(Policy={"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 4096}]})
    same("set_data_retrieval_policy", here.get_data_retrieval_policy()["Policy"],
         {"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 4096}]})
    standard = {"Type": "archive-retrieval", "ArchiveId": archive, "Tier": "Standard"}
    refused("initiate_job over the limit", "PolicyEnforcedException", "InitiateJob request denied by current data retrieval policy.",
            here.initiate_job, vaultName=VAULT, jobParameters=standard)
    refused("set_data_retrieval_policy with two rules", "InvalidParameterValueException", "Invalid Rules: 2 rules where exactly one is allowed",
            here.set_data_retrieval_policy, Policy={"Rules": [{"Strategy": "None"}] * 2})
    here.set_data_retrieval_policy(Policy={"Rules": [{"Strategy": "None"}]})
    same("list_provisioned_capacity", there.list_provisioned_capacity()["ProvisionedCapacityList"], [])
    units = [there.purchase_provisioned_capacity()["capacityId"] for _ in range(2)]
    listed = there.list_provisioned_capacity()["ProvisionedCapacityList"]
    same("purchase_provisioned_capacity", [u["CapacityId"] for u in listed], units)
    refused("purchase_provisioned_capacity, the third", "LimitExceededException", f"Provisioned capacity limit exceeded for account: {ACCOUNT}",
            there.purchase_provisioned_capacity)


def main():
    client = boto3.client("glacier", endpoint_url=os.environ["ENDPOINT"])
    made = client.create_vault(vaultName=VAULT)
    same("create_vault", (made["location"], made["ResponseMetadata"]["HTTPStatusCode"]), (f"/{ACCOUNT}/vaults/{VAULT}", 201))
    same("request id", len(made["ResponseMetadata"]["RequestId"]), 47)
    client.get_waiter("vault_exists").wait(vaultName=VAULT)
    described = client.describe_vault(vaultName=VAULT)
    same("describe_vault", (described["VaultName"], described["NumberOfArchives"], described["SizeInBytes"]), (VAULT, 0, 0))

    for i in range(12):
        client.create_vault(vaultName=f"boto3-page-{i:02}")
    names = [v["VaultName"] for page in client.get_paginator("list_vaults").paginate() for v in page["VaultList"]]
    same("list_vaults paginator", [n for n in names if n.startswith("boto3-page-")], [f"boto3-page-{i:02}" for i in range(12)])
    same("list_vaults is in order", names, sorted(names))
    for i in range(12):
        client.delete_vault(vaultName=f"boto3-page-{i:02}")

    data = os.urandom(3 * MIB + 17)
    up = client.upload_archive(vaultName=VAULT, archiveDescription="a  b", body=data)
    same("upload_archive", (up["checksum"], up["location"]), (tree(data), f"/{ACCOUNT}/vaults/{VAULT}/archives/{up['archiveId']}"))
    refused("upload_archive with a wrong checksum", "InvalidParameterValueException",
            f"Checksum mismatch: expected {'0' * 64}, computed {tree(data)}",
            client.upload_archive, vaultName=VAULT, body=data, checksum="0" * 64)
    refused("upload_archive of nothing", "InvalidParameterValueException", "Invalid Content-Length: 0",
            client.upload_archive, vaultName=VAULT)

    mp = client.initiate_multipart_upload(vaultName=VAULT, partSize=str(MIB), archiveDescription="parts")
    upload = mp["uploadId"]
    for first in (2 * MIB, 0, 3 * MIB, MIB, 0):
        piece = data[first:first + MIB]
        part = client.upload_multipart_part(vaultName=VAULT, uploadId=upload, body=piece,
                                            range=f"bytes {first}-{first + len(piece) - 1}/*")
        same("upload_multipart_part", part["checksum"], hashlib.sha256(piece).hexdigest())
    refused("upload_multipart_part with a bad range", "InvalidParameterValueException", "Invalid Content-Range: bytes 5-4/*",
            client.upload_multipart_part, vaultName=VAULT, uploadId=upload, body=b"x", range="bytes 5-4/*")
    parts = [p["RangeInBytes"] for page in client.get_paginator("list_parts").paginate(
        vaultName=VAULT, uploadId=upload, PaginationConfig={"PageSize": 1}) for p in page["Parts"]]
    same("list_parts paginator", parts, ["0-1048575", "1048576-2097151", "2097152-3145727", "3145728-3145744"])
    spare = [client.initiate_multipart_upload(vaultName=VAULT, partSize=str(MIB))["uploadId"] for _ in range(3)]
    uploads = [u["MultipartUploadId"] for page in client.get_paginator("list_multipart_uploads").paginate(
        vaultName=VAULT, PaginationConfig={"PageSize": 2}) for u in page["UploadsList"]]
    same("list_multipart_uploads paginator", sorted(uploads), sorted([upload, *spare]))
    for s in spare:
        client.abort_multipart_upload(vaultName=VAULT, uploadId=s)
        client.abort_multipart_upload(vaultName=VAULT, uploadId=s)
    same("abort_multipart_upload", len(client.list_multipart_uploads(vaultName=VAULT)["UploadsList"]), 1)
    done = [client.complete_multipart_upload(vaultName=VAULT, uploadId=upload, archiveSize=str(len(data)), checksum=tree(data))
            for _ in range(2)]
    same("complete_multipart_upload, repeated", (done[0]["checksum"], done[0]["archiveId"]), (tree(data), done[1]["archiveId"]))

    for archive in (up["archiveId"], done[0]["archiveId"]):
        job, got = finish(client, Type="archive-retrieval", ArchiveId=archive, Tier="Expedited", Description="look")
        same("describe_job", (got["Action"], got["SHA256TreeHash"], got["ArchiveSizeInBytes"], got["JobDescription"]),
             ("ArchiveRetrieval", tree(data), len(data), "look"))
        out = client.get_job_output(vaultName=VAULT, jobId=job)
        same("get_job_output", (out["status"], out["checksum"], out["contentType"], out["acceptRanges"]),
             (200, tree(data), "application/octet-stream", "bytes"))
        same("bytes of the archive", out["body"].read() == data, True)
        out = client.get_job_output(vaultName=VAULT, jobId=job, range="bytes=1048576-9999999")
        same("get_job_output of a range", (out["status"], out["contentRange"], out["body"].read() == data[MIB:]),
             (206, f"bytes 1048576-{len(data) - 1}/{len(data)}", True))
    refused("initiate_job of an unknown archive", "ResourceNotFoundException", "The archive ID was not found: nosuch",
            client.initiate_job, vaultName=VAULT, jobParameters={"Type": "archive-retrieval", "ArchiveId": "nosuch"})

    job, got = finish(client, Type="inventory-retrieval", Format="JSON", InventoryRetrievalParameters={"Limit": "1"})
    marker = got["InventoryRetrievalParameters"]["Marker"]
    job2, got2 = finish(client, Type="inventory-retrieval", InventoryRetrievalParameters={"Limit": "1", "Marker": marker})
    same("the last inventory page has no marker", got2["InventoryRetrievalParameters"].get("Marker"), None)
    listed = [json.load(client.get_job_output(vaultName=VAULT, jobId=j)["body"])["ArchiveList"][0] for j in (job, job2)]
    same("paged inventory", sorted((a["ArchiveId"], a["SHA256TreeHash"], a["ArchiveDescription"]) for a in listed),
         sorted([(up["archiveId"], tree(data), "a  b"), (done[0]["archiveId"], tree(data), "parts")]))
    jobs = [j["JobId"] for page in client.get_paginator("list_jobs").paginate(
        vaultName=VAULT, completed="true", statuscode="Succeeded", PaginationConfig={"PageSize": 1}) for j in page["JobList"]]
    same("list_jobs paginator", (len(jobs), jobs[0]), (4, job2))

    tags(client)
    notifications(client)
    access_policy(client)
    lock(client)
    settings(boto3.client, up["archiveId"])

    for archive in (up["archiveId"], done[0]["archiveId"], up["archiveId"]):
        client.delete_archive(vaultName=VAULT, archiveId=archive)
    refused("delete_archive of an unknown one", "ResourceNotFoundException", "The archive ID was not found: nosuch",
            client.delete_archive, vaultName=VAULT, archiveId="nosuch")
    client.delete_vault(vaultName=VAULT)
    client.get_waiter("vault_not_exists").wait(vaultName=VAULT)
    refused("describe_vault of a deleted one", "ResourceNotFoundException",
            f"Vault not found for ARN: arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/{VAULT}",
            client.describe_vault, vaultName=VAULT)
    refused("describe_vault in another account", "AccessDeniedException", "Access denied for account ID: 123456789012",
            client.describe_vault, accountId="123456789012", vaultName=VAULT)
    print(f"boto3_client.py: {checked} checks passed")


main()
