// Drives a server with the AWS SDK for JavaScript v3: all 33 operations, the
// four paginators, both waiters, the SDK's own tree hash middleware and its
// types of errors. It wants ENDPOINT, ACCOUNT, AWS_REGION, CAPACITY_REGION in
// which nobody else buys capacity, and the usual AWS_* variables; run.sh
// provides them. It ends at the first difference.

import { createHash, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import * as g from "@aws-sdk/client-glacier";

const { ENDPOINT, ACCOUNT, AWS_REGION, CAPACITY_REGION } = process.env;
const MiB = 1 << 20;
const vaultName = "node-client";
const client = new g.Glacier({ endpoint: ENDPOINT, region: AWS_REGION, maxAttempts: 1 });
const accountId = "-";
let checked = 0;

function same(what, got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    console.error(`client.mjs: ${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
    process.exit(1);
  }
  checked++;
  console.log(`client.mjs: ${what}`);
}

async function refused(what, code, message, promise) {
  try {
    await promise;
  } catch (e) {
    // Codes that the model does not declare have no type of their own.
    same(what, [e.name, e.message, e instanceof (g[code] ?? g.GlacierServiceException)], [code, message, true]);
    return;
  }
  same(what, "success", code);
}

const sha256 = (...b) => b.reduce((h, x) => h.update(x), createHash("sha256")).digest();

function treeHash(data) {
  let level = [];
  for (let i = 0; i < data.length; i += MiB) level.push(sha256(data.subarray(i, i + MiB)));
  while (level.length > 1) {
    const next = [];
    for (let i = 0; i < level.length; i += 2) next.push(i + 1 < level.length ? sha256(level[i], level[i + 1]) : level[i]);
    level = next;
  }
  return level[0].toString("hex");
}

async function collect(pages, key) {
  const items = [];
  for await (const page of pages) items.push(...page[key]);
  return items;
}

async function finish(jobParameters) {
  const { jobId } = await client.initiateJob({ accountId, vaultName, jobParameters });
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const job = await client.describeJob({ accountId, vaultName, jobId });
    if (job.Completed) {
      same("job ends", [job.StatusCode, job.StatusMessage], ["Succeeded", "Succeeded"]);
      return job;
    }
    await delay(50);
  }
  same("job ends", "InProgress", "Succeeded");
}

const made = await client.createVault({ accountId, vaultName });
same("createVault", [made.location, made.$metadata.httpStatusCode], [`/${ACCOUNT}/vaults/${vaultName}`, 201]);
await g.waitUntilVaultExists({ client, maxWaitTime: 30 }, { accountId, vaultName });
const fresh = await client.describeVault({ accountId, vaultName });
same("describeVault has numbers", [fresh.NumberOfArchives, fresh.SizeInBytes], [0, 0]);

for (let i = 0; i < 11; i++) await client.createVault({ accountId, vaultName: `node-page-${10 + i}` });
const vaults = await collect(g.paginateListVaults({ client, pageSize: 3 }, { accountId }), "VaultList");
same("paginateListVaults", vaults.filter((v) => v.VaultName.startsWith("node-page-")).length, 11);
for (let i = 0; i < 11; i++) await client.deleteVault({ accountId, vaultName: `node-page-${10 + i}` });

const data = randomBytes(3 * MiB + 99);
const up = await client.uploadArchive({ accountId, vaultName, archiveDescription: "from node", body: data });
same("uploadArchive", [up.checksum, up.location], [treeHash(data), `/${ACCOUNT}/vaults/${vaultName}/archives/${up.archiveId}`]);
await refused("uploadArchive with a wrong checksum", "InvalidParameterValueException",
  `Checksum mismatch: expected ${"0".repeat(64)}, computed ${treeHash(data)}`,
  client.uploadArchive({ accountId, vaultName, body: data, checksum: "0".repeat(64) }));

const { uploadId } = await client.initiateMultipartUpload({ accountId, vaultName, partSize: String(MiB), archiveDescription: "node parts" });
await Promise.all([3, 1, 0, 2].map(async (i) => {
  const body = data.subarray(i * MiB, (i + 1) * MiB);
  const range = `bytes ${i * MiB}-${i * MiB + body.length - 1}/*`;
  const part = await client.uploadMultipartPart({ accountId, vaultName, uploadId, range, body });
  same("uploadMultipartPart", part.checksum, treeHash(body));
}));
const parts = await collect(g.paginateListParts({ client, pageSize: 1 }, { accountId, vaultName, uploadId }), "Parts");
same("paginateListParts", parts.map((p) => p.RangeInBytes), ["0-1048575", "1048576-2097151", "2097152-3145727", "3145728-3145826"]);
const spare = await client.initiateMultipartUpload({ accountId, vaultName, partSize: String(4 * MiB) });
const uploads = await collect(g.paginateListMultipartUploads({ client, pageSize: 1 }, { accountId, vaultName }), "UploadsList");
same("paginateListMultipartUploads", uploads.map((u) => u.MultipartUploadId).sort(), [uploadId, spare.uploadId].sort());
for (let i = 0; i < 2; i++) await client.abortMultipartUpload({ accountId, vaultName, uploadId: spare.uploadId });
const whole = { accountId, vaultName, uploadId, archiveSize: String(data.length), checksum: treeHash(data) };
await refused("completeMultipartUpload with a wrong size", "InvalidParameterValueException", "Invalid x-amz-archive-size: 1",
  client.completeMultipartUpload({ ...whole, archiveSize: "1" }));
const done = await client.completeMultipartUpload(whole);
same("completeMultipartUpload", done.checksum, treeHash(data));
same("completeMultipartUpload, repeated", (await client.completeMultipartUpload(whole)).archiveId, done.archiveId);

for (const ArchiveId of [up.archiveId, done.archiveId]) {
  const job = await finish({ Type: "archive-retrieval", ArchiveId, Tier: "Expedited" });
  same("describeJob", [job.SHA256TreeHash, job.ArchiveSizeInBytes], [treeHash(data), data.length]);
  const jobId = job.JobId;
  const out = await client.getJobOutput({ accountId, vaultName, jobId });
  same("getJobOutput", [out.status, out.checksum, out.contentType], [200, treeHash(data), "application/octet-stream"]);
  same("bytes of the archive", Buffer.compare(Buffer.from(await out.body.transformToByteArray()), data), 0);
  const tail = await client.getJobOutput({ accountId, vaultName, jobId, range: "bytes=2097152-4194303" });
  const bytes = Buffer.from(await tail.body.transformToByteArray());
  same("getJobOutput of a range", [tail.status, tail.contentRange, tail.checksum],
    [206, `bytes 2097152-${data.length - 1}/${data.length}`, treeHash(data.subarray(2 * MiB))]);
  same("bytes of the range", Buffer.compare(bytes, data.subarray(2 * MiB)), 0);
}
const inventory = await finish({ Type: "inventory-retrieval", Format: "JSON", InventoryRetrievalParameters: { Limit: "10" } });
const list = JSON.parse(await (await client.getJobOutput({ accountId, vaultName, jobId: inventory.JobId })).body.transformToString());
same("inventory", list.ArchiveList.map((a) => [a.ArchiveDescription, a.Size]).sort(), [["from node", data.length], ["node parts", data.length]]);
const jobs = await collect(g.paginateListJobs({ client, pageSize: 1 }, { accountId, vaultName, completed: "true", statuscode: "Succeeded" }), "JobList");
same("paginateListJobs", [jobs.length, jobs[0].JobId], [3, inventory.JobId]);

const arnOf = (name) => `arn:aws:glacier:${AWS_REGION}:${ACCOUNT}:vaults/${name}`;
const document = (name, Effect, Action, Condition) => ({
  Policy: JSON.stringify({ Version: "2012-10-17", Statement: [{ Sid: "node", Effect, Principal: "*", Action, Resource: arnOf(name), Condition }] }),
});
const forbidden = (action, name) =>
  `User: arn:aws:iam::${ACCOUNT}:root is not authorized to perform: glacier:${action} on resource: ${arnOf(name)} with an explicit deny in a resource-based policy`;

await client.addTagsToVault({ accountId, vaultName, Tags: { team: "ledger", env: "" } });
await client.removeTagsFromVault({ accountId, vaultName, TagKeys: ["env", "nosuch"] });
same("tags", (await client.listTagsForVault({ accountId, vaultName })).Tags, { team: "ledger" });
await refused("addTagsToVault with a reserved key", "InvalidParameterValueException", "Invalid tag key: aws:x",
  client.addTagsToVault({ accountId, vaultName, Tags: { "aws:x": "" } }));

const missing = `No notification configuration is set for vault: ${arnOf(vaultName)}`;
await refused("getVaultNotifications of none", "ResourceNotFoundException", missing, client.getVaultNotifications({ accountId, vaultName }));
const vaultNotificationConfig = { SNSTopic: `arn:aws:sns:${AWS_REGION}:${ACCOUNT}:done`, Events: ["InventoryRetrievalCompleted", "ArchiveRetrievalCompleted"] };
const noted = await client.setVaultNotifications({ accountId, vaultName, vaultNotificationConfig });
same("setVaultNotifications", [noted.$metadata.httpStatusCode, (await client.getVaultNotifications({ accountId, vaultName })).vaultNotificationConfig],
  [204, vaultNotificationConfig]);
await refused("setVaultNotifications of an unknown event", "InvalidParameterValueException", "Invalid Events: Other",
  client.setVaultNotifications({ accountId, vaultName, vaultNotificationConfig: { ...vaultNotificationConfig, Events: ["Other"] } }));
await refused("setVaultNotifications without a topic", "MissingParameterValueException", "Required parameter missing: snsTopic",
  client.setVaultNotifications({ accountId, vaultName, vaultNotificationConfig: { Events: ["ArchiveRetrievalCompleted"] } }));
for (let i = 0; i < 2; i++) await client.deleteVaultNotifications({ accountId, vaultName });
await refused("deleteVaultNotifications", "ResourceNotFoundException", missing, client.getVaultNotifications({ accountId, vaultName }));

await refused("getVaultAccessPolicy of none", "ResourceNotFoundException", `No vault access policy is set for: ${vaultName}`,
  client.getVaultAccessPolicy({ accountId, vaultName }));
const accessPolicy = document(vaultName, "Deny", "glacier:ListParts");
await client.setVaultAccessPolicy({ accountId, vaultName, policy: accessPolicy });
same("setVaultAccessPolicy", (await client.getVaultAccessPolicy({ accountId, vaultName })).policy, accessPolicy);
await refused("an access policy binds root", "AccessDeniedException", forbidden("ListParts", vaultName),
  client.listParts({ accountId, vaultName, uploadId: "x" }));
await refused("setVaultAccessPolicy with a bad one", "InvalidParameterValueException",
  "The specified vault access policy is invalid. Provide a valid policy. (not JSON)", client.setVaultAccessPolicy({ accountId, vaultName, policy: { Policy: "" } }));
for (let i = 0; i < 2; i++) await client.deleteVaultAccessPolicy({ accountId, vaultName });

const lockedVault = { accountId, vaultName: "node-locked" };
await client.createVault(lockedVault);
const stone = await client.uploadArchive({ ...lockedVault, body: Buffer.from("a stone") });
const policy = document("node-locked", "Deny", "glacier:DeleteArchive", { NumericLessThan: { "glacier:ArchiveAgeInDays": "365" } });
await refused("getVaultLock of none", "ResourceNotFoundException", "No vault lock policy is set for: node-locked", client.getVaultLock(lockedVault));
const draft = await client.initiateVaultLock({ ...lockedVault, policy });
same("getVaultLock in progress", (await client.getVaultLock(lockedVault)).State, "InProgress");
await refused("initiateVaultLock twice", "AccessDeniedException", `Vault lock is already in progress for: ${arnOf("node-locked")}`,
  client.initiateVaultLock({ ...lockedVault, policy }));
await client.abortVaultLock(lockedVault);
await refused("completeVaultLock after abortVaultLock", "ResourceNotFoundException", `No vault lock in progress for: ${arnOf("node-locked")}`,
  client.completeVaultLock({ ...lockedVault, lockId: draft.lockId }));
const { lockId } = await client.initiateVaultLock({ ...lockedVault, policy });
await refused("completeVaultLock with the wrong id", "InvalidParameterValueException", `Invalid lock ID: ${draft.lockId}`,
  client.completeVaultLock({ ...lockedVault, lockId: draft.lockId }));
for (let i = 0; i < 2; i++) await client.completeVaultLock({ ...lockedVault, lockId });
const lock = await client.getVaultLock(lockedVault);
same("completeVaultLock", [lock.State, lock.Policy, lock.ExpirationDate ?? null], ["Locked", policy.Policy, null]);
await refused("abortVaultLock, locked", "AccessDeniedException", `Vault is already locked: ${arnOf("node-locked")}`, client.abortVaultLock(lockedVault));
await refused("root may not delete", "AccessDeniedException", forbidden("DeleteArchive", "node-locked"),
  client.deleteArchive({ ...lockedVault, archiveId: stone.archiveId }));

const rules = async () => (await client.getDataRetrievalPolicy({ accountId })).Policy.Rules;
same("getDataRetrievalPolicy", (await rules())[0].Strategy, "None");
await client.setDataRetrievalPolicy({ accountId, Policy: { Rules: [{ Strategy: "BytesPerHour", BytesPerHour: 4096 }] } });
same("setDataRetrievalPolicy", (await rules()).map((r) => [r.Strategy, r.BytesPerHour]), [["BytesPerHour", 4096]]);
await refused("initiateJob over the limit", "PolicyEnforcedException", "InitiateJob request denied by current data retrieval policy.",
  client.initiateJob({ accountId, vaultName, jobParameters: { Type: "archive-retrieval", ArchiveId: up.archiveId, Tier: "Standard" } }));
await client.setDataRetrievalPolicy({ accountId, Policy: { Rules: [{ Strategy: "None" }] } });
const buyer = new g.Glacier({ endpoint: ENDPOINT, region: CAPACITY_REGION, maxAttempts: 1 });
const listUnits = async () => (await buyer.listProvisionedCapacity({ accountId })).ProvisionedCapacityList;
same("listProvisionedCapacity of none", await listUnits(), []);
const bought = [];
for (let i = 0; i < 2; i++) bought.push((await buyer.purchaseProvisionedCapacity({ accountId })).capacityId);
const units = await listUnits();
same("purchaseProvisionedCapacity", units.map((u) => u.CapacityId), bought);
same("listProvisionedCapacity", units.filter((u) => new Date(u.ExpirationDate) > new Date(u.StartDate)).length, 2);
await refused("purchaseProvisionedCapacity, the third", "LimitExceededException", `Provisioned capacity limit exceeded for account: ${ACCOUNT}`,
  buyer.purchaseProvisionedCapacity({ accountId }));

await refused("deleteVault that is not empty", "InvalidParameterValueException",
  `Vault not empty or recently written to: arn:aws:glacier:${AWS_REGION}:${ACCOUNT}:vaults/${vaultName}`,
  client.deleteVault({ accountId, vaultName }));
for (const archiveId of [up.archiveId, done.archiveId, up.archiveId]) await client.deleteArchive({ accountId, vaultName, archiveId });
await client.deleteVault({ accountId, vaultName });
await g.waitUntilVaultNotExists({ client, maxWaitTime: 30 }, { accountId, vaultName });
await refused("describeVault of a deleted one", "ResourceNotFoundException",
  `Vault not found for ARN: arn:aws:glacier:${AWS_REGION}:${ACCOUNT}:vaults/${vaultName}`,
  client.describeVault({ accountId, vaultName }));
await refused("listVaults of another account", "AccessDeniedException", "Access denied for account ID: 123456789012",
  client.listVaults({ accountId: "123456789012" }));
await refused("describeVault with an account that is none", "AccessDeniedException", "Access denied for account ID: abcmnoxyz",
  client.describeVault({ accountId: "abcmnoxyz", vaultName }));
console.log(`client.mjs: ${checked} checks passed`);
