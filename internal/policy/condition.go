package policy

// condition is one operator applied to one key (access-control §3.4).
type condition struct {
	at       string // JSON pointer
	test     test
	name     string    // the key as written
	key      string    // and folded
	values   []string  // as written
	operands []operand // compiled; none for Null
	absent   bool      // Null with the value true
	present  bool      // Null with the value false
}

// newCondition compiles the values of a condition. On failure it returns the
// index of the value at fault.
func newCondition(t test, key string, values []string, variables bool) (c condition, bad int, err error) {
	c = condition{test: t, name: key, key: foldKey(key), values: values}
	for i, text := range values {
		if t.operator.null {
			want, ok := parseBool(text)
			if !ok {
				return c, i, errBool
			}
			c.absent = c.absent || want
			c.present = c.present || !want
			continue
		}
		o, err := t.operator.compile(literal{text, t.operator.relation, variables})
		if err != nil {
			return c, i, err
		}
		c.operands = append(c.operands, o)
	}
	return c, 0, nil
}

// holds reports whether the condition is met. Where a request has alternatives
// for a key (Context.Add), one is enough for a Deny and all are needed for an
// Allow.
func (c *condition) holds(r *Request, e Effect) bool {
	if len(c.values) == 0 {
		return false // an empty list never matches, negated or not
	}
	if value, present, known := r.derived(c.key); known {
		if !present {
			return c.missing()
		}
		return c.check(&entry{value: value}, r)
	}
	found, met := 0, 0
	for i := range r.Context.entries {
		if r.Context.entries[i].key != c.key {
			continue
		}
		found++
		if c.check(&r.Context.entries[i], r) {
			met++
		}
	}
	switch {
	case found == 0:
		return c.missing()
	case e == Deny:
		return met > 0
	default:
		return met == found
	}
}

// missing is the outcome for a key the request does not have.
func (c *condition) missing() bool {
	switch {
	case c.test.operator.null:
		return c.absent
	case c.test.ifExists:
		return true
	case c.test.quantifier != single:
		return c.test.quantifier == forAll
	default:
		return c.test.operator.negated
	}
}

// check is the outcome for a key the request has. A multi-valued key without a
// set prefix meets no condition, not even a negated one.
func (c *condition) check(e *entry, r *Request) bool {
	switch {
	case c.test.operator.null:
		return c.present
	case e.set == nil:
		return c.compare(e.value, r)
	case c.test.quantifier == single:
		return false
	}
	for _, value := range e.set {
		if met := c.compare(value, r); met != (c.test.quantifier == forAll) {
			return met
		}
	}
	return c.test.quantifier == forAll
}

// compare tests one value against the list: one operand that matches is
// enough, and one too many for a negated operator.
func (c *condition) compare(value string, r *Request) bool {
	for _, o := range c.operands {
		if o.match(value, r) {
			return !c.test.operator.negated
		}
	}
	return c.test.operator.negated
}
