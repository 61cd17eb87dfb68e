package policy

// Context holds the condition keys of a request (access-control §4.3). The
// zero value is empty and ready for use. The keys that follow from a Request's
// principal and time need not be added.
type Context struct {
	entries []entry
}

// entry is one key with its value, or with its values if the key is
// multi-valued.
type entry struct {
	key   string // folded
	value string
	set   []string // nil for a single-valued key
}

// Add gives a single-valued key a value. Several values under keys that differ
// by case only, as a vault's tags may, are alternatives: a Deny applies if any
// of them meets a condition, an Allow only if all do (access-control §4.3).
func (c *Context) Add(key, value string) {
	c.entries = append(c.entries, entry{key: foldKey(key), value: value})
}

// AddSet gives a multi-valued key its values. Without values the key stays
// absent. The set is not copied.
func (c *Context) AddSet(key string, set []string) {
	if len(set) > 0 {
		c.entries = append(c.entries, entry{key: foldKey(key), set: set})
	}
}
