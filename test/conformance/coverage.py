"""Which operations of the vault API each client has run with success, as the
server's audit log tells: a table, and a failure where one is missing.

usage: coverage.py DIRECTORY, that of the audit log"""

import gzip
import json
import pathlib
import sys

OPERATIONS = """
AbortMultipartUpload AbortVaultLock AddTagsToVault CompleteMultipartUpload CompleteVaultLock CreateVault DeleteArchive DeleteVault
DeleteVaultAccessPolicy DeleteVaultNotifications DescribeJob DescribeVault GetDataRetrievalPolicy GetJobOutput GetVaultAccessPolicy
GetVaultLock GetVaultNotifications InitiateJob InitiateMultipartUpload InitiateVaultLock ListJobs ListMultipartUploads ListParts
ListProvisionedCapacity ListTagsForVault ListVaults PurchaseProvisionedCapacity RemoveTagsFromVault SetDataRetrievalPolicy
SetVaultAccessPolicy SetVaultNotifications UploadArchive UploadMultipartPart
""".split()
# By the beginning of the user agent; the command line client is made of the
# same parts as boto3, and says so later.
CLIENTS = {"AWS CLI": "aws-cli/", "boto3": "Boto3/", "node": "aws-sdk-js/"}


def records(directory):
    for path in sorted(pathlib.Path(directory).glob("audit-*.jsonl*")):
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    done = {}
    for r in records(sys.argv[1]):
        if r["eventSource"] != "glacier.amazonaws.com" or "errorCode" in r:
            continue
        for client, prefix in CLIENTS.items():
            if r.get("userAgent", "").startswith(prefix):
                done[r["eventName"], client] = done.get((r["eventName"], client), 0) + 1
    print(f"{'successful calls':30}" + "".join(f"{c:>9}" for c in CLIENTS))
    for name in OPERATIONS:
        print(f"{name:30}" + "".join(f"{done.get((name, c), 0):9}" for c in CLIENTS))
    holes = [f"{name} by {c}" for name in OPERATIONS for c in CLIENTS if (name, c) not in done]
    if holes:
        sys.exit("coverage.py: never done: " + ", ".join(holes))
    print(f"coverage.py: each of {len(CLIENTS)} clients has done all {len(OPERATIONS)} operations")


main()
