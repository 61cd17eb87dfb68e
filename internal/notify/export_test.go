package notify

// Backoff is how long to wait after a number of failed attempts.
var Backoff = backoff

// The bounds of the engine.
const (
	KeptTime  = keptTime
	TriesTime = triesTime
	LeaseTime = leaseTime
)
