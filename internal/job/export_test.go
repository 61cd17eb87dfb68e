package job

// Notify writes the messages about a job that ends.
var Notify = notify
