package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Meta is where the rows are, if not in the data directory.
type Meta struct {
	URL      string // of a database of PostgreSQL, without a password; "" for none
	File     string // that holds the URL instead
	Password string // from the environment; "" for none, or that of the URL
	Readers  int    // connections that read
}

// On reports whether the rows are in PostgreSQL.
func (m Meta) On() bool { return m.URL != "" || m.File != "" }

// metaReadersMax bounds the connections of one server.
const metaReadersMax = 1000

func metaSettings() []Setting {
	group := []Setting{
		text("meta", "", "URL",
			"Database of PostgreSQL 14 or later for the rows, as postgres://user@host:5432/moraine?sslmode=verify-full. No password may be in it. Without it the rows are in the data directory. A data directory keeps what it began with.",
			func(c *Config) *string { return &c.Meta.URL }),
		text("meta_file", "", "file", "File with that URL, in which a password may be.",
			func(c *Config) *string { return &c.Meta.File }),
		text("meta_password", "", "password", "Password for meta or meta_file.",
			func(c *Config) *string { return &c.Meta.Password }),
		{
			Key: "meta_readers", Default: "8", Type: "number",
			Doc: "How many connections to that database read at once, from 1 to 1000. Another one writes.",
			set: func(c *Config, v string) (err error) { c.Meta.Readers, err = parseReaders(v); return err },
			get: func(c *Config) string { return strconv.Itoa(c.Meta.Readers) },
		},
	}
	group[2].EnvOnly, group[2].Secret = true, true
	return group
}

func parseReaders(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 1 || n > metaReadersMax {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, metaReadersMax)
	}
	return n, nil
}

// checkShared demands what servers that share rows and bytes must have in common,
// and would otherwise make for themselves.
func (c *Config) checkShared() error {
	if _, _, bucket := ParseBucket(c.Storage.Blobs); !bucket || !c.Meta.On() {
		return nil
	}
	var missing []string
	for name, given := range map[string]bool{
		"account_id": c.Root.Account != "", "MORAINE_ROOT_ACCESS_KEY_ID": c.Root.KeyID != "", "master_key_file": c.MasterKeyFile != "",
	} {
		if !given {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("with meta and blobs any number of servers share rows and bytes, and each would make its own of what is not given; set %s to the same for all", strings.Join(missing, ", "))
}

func (c *Config) checkMeta() error {
	m := &c.Meta
	switch {
	case m.URL != "" && m.File != "":
		return errors.New("meta and meta_file exclude each other; set one of them")
	case m.Password != "" && !m.On():
		return errors.New("MORAINE_META_PASSWORD is for the database that meta or meta_file names; set one of those")
	case m.On() && c.Ephemeral:
		return errors.New("ephemeral and meta exclude each other; an ephemeral server removes its archives, and would leave their rows behind")
	case m.URL == "":
		return nil
	}
	// Faults do not show the text: a password may be in it.
	u, err := url.Parse(m.URL)
	// A slash in a password ends the part of the URL that the password is in.
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || strings.Contains(u.Path, "@") {
		return errors.New("meta is not the URL of a database of PostgreSQL; write it as in postgres://user@host:5432/moraine")
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") || u.Query().Has("sslpassword") {
		return errors.New("there is a password in meta, where others can see it; set MORAINE_META_PASSWORD, or put the URL into a file and name it in meta_file")
	}
	return nil
}
