package sqlmeta

// queries lists every statement that runs after start-up but those around
// transactions. A session prepares no other, and a test looks at the plan of
// each.
var queries = [...]string{
	vaultGet, vaultByID, vaultList, vaultCount, vaultFigures, vaultSave, vaultDelete, vaultBury,

	archiveGet, archiveInsert, archiveDelete, archiveScan, archiveFaulty,

	extentList, extentAt, extentPut, extentBlob, extentReplace, extentByBlob, extentJudge, extentFaulty, extentBlobs, extentMove, extentAll, archiveAll,
	garbageAdd, garbageMove, bodyCondemn,

	uploadGet, uploadSave, uploadList, uploadCountOpen,

	jobGet, jobSave, jobList, jobClaim, jobHasten, jobHold, jobNextDue, jobCount,

	sweepIdleUploads, sweepEndedUploads, sweepExpiredJobs, sweepDropJob,
	releaseBodies, releaseExtents, releaseForget, releaseOne, garbageList, garbageOf, garbageDrop,
	buryVaults, buryJobs, buryUploads, buryArchives, buryForget,
	sweepDueInventories,

	tagList, tagInsert, tagClear, policyGet, policySave, policyDrop, lockGet, lockSave, lockDrop, lockOver,
	retrievalPolicyGet, retrievalPolicySave, loadNow, loadSince, capacityList, capacityAdd, capacityEnd,

	scrubGet, scrubSave,

	leaseGet, leaseAcquire, leaseRelease,

	notificationsGet, notificationsSave, notificationsDrop,
	messageGet, messageSave, messageDrop, messageClaim, messageNextDue, messageList, messageCount,

	accountGet, accountList, accountInsert, accountBump,
	identityGet, identityByID, identityList, identityCount, identitySave, identityDelete,
	keyGet, keyList, keySave, keyDelete, keyTouch,
	blobKeyList, blobKeySave,
	timeGet,
	agreedGet, agreedSave,
	houseGet, houseSave, arrivalSave, arrivalList, arrivalsOf, arrivalDrop, extentMoved,
}

// listed holds the same.
var listed = func() map[string]bool {
	all := make(map[string]bool, len(queries))
	for _, q := range queries {
		all[q] = true
	}
	return all
}()
