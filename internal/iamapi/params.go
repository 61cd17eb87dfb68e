package iamapi

import (
	"strconv"
	"time"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/sigv4"
)

func (c *call) get(name string) string { return c.params.Get(name) }

// Page sizes (access-control §2.2).
const (
	pageDefault = 100
	pageMax     = 1000
)

// listMax bounds the members of a list parameter.
const listMax = 1000

// page reads Marker and MaxItems.
func (c *call) page() (account.Page, error) {
	p := account.Page{Marker: c.get("Marker"), MaxItems: pageDefault}
	if s := c.get("MaxItems"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > pageMax {
			return p, validation("1 validation error detected: Value '" + sigv4.Echo(s) + "' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 1000")
		}
		p.MaxItems = n
	}
	return p, nil
}

// prefix reads PathPrefix.
func (c *call) prefix() (string, error) {
	s := c.get("PathPrefix")
	if s != "" && s[0] != '/' {
		return "", validation("The specified value for pathPrefix is invalid. It must begin with the / character.")
	}
	return s, nil
}

// list reads name.member.1 and so on, up to the first that is absent.
func (c *call) list(name string) []string {
	var all []string
	for i := 1; i <= listMax; i++ {
		key := name + ".member." + strconv.Itoa(i)
		if !c.params.Has(key) {
			break
		}
		all = append(all, c.get(key))
	}
	return all
}

// tags reads name.member.1.Key, name.member.1.Value and so on.
func (c *call) tags(name string) []moraine.Tag {
	var all []moraine.Tag
	for i := 1; i <= listMax; i++ {
		member := name + ".member." + strconv.Itoa(i)
		if !c.params.Has(member + ".Key") {
			break
		}
		all = append(all, moraine.Tag{Key: c.get(member + ".Key"), Value: c.get(member + ".Value")})
	}
	return all
}

// seconds reads a duration; nil if absent.
func (c *call) seconds(name string) (*time.Duration, error) {
	s := c.get(name)
	if s == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return nil, validation("1 validation error detected: Value '" + sigv4.Echo(s) + "' at '" + lowerFirst(name) + "' failed to satisfy constraint: Member must be an integer")
	}
	d := time.Duration(n) * time.Second
	return &d, nil
}

// quoted is a value in a message about it.
func quoted(s string) string {
	if s == "" {
		return "null"
	}
	return "'" + sigv4.Echo(s) + "'"
}

// flag reads a boolean, false if absent.
func (c *call) flag(name string) (bool, error) {
	switch s := c.get(name); s {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, validation("1 validation error detected: Value '" + sigv4.Echo(s) + "' at '" + lowerFirst(name) + "' failed to satisfy constraint: Member must be a boolean")
	}
}
