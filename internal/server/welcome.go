package server

import (
	"fmt"
	"net"
	"strings"

	"moraine/internal/clock"
	"moraine/internal/config"
)

// welcome is the start-up text: what is served, and one command that uses it.
// It names the file with the secret and never the secret.
func welcome(cfg config.Config, d *data, id identity, doors *doors, st clock.Status) string {
	url := endpoint(cfg, doors.api.Addr())
	var b strings.Builder
	fmt.Fprintf(&b, "Moraine serves account %s in %s on %s\n", id.root.Account, names(cfg), url)
	if admin := doors.adminAddr(); admin != "" {
		fmt.Fprintf(&b, "Metrics and health are on http://%s\n", admin)
	}
	if cfg.TestMode {
		fmt.Fprintf(&b, "\n  TEST MODE: POST http://%s/test/clock moves the clock, which expires what is kept here.\n  Store nothing that you want back.\n\n", doors.adminAddr())
	}
	if advice := st.Advice(); advice != "" {
		fmt.Fprintf(&b, "\n  CHECK THE CLOCK: %s.\n\n    moraine clock status --data %s%s\n\n", advice, quote(d.dir), adminFlag(doors))
	}
	if cfg.Ephemeral {
		fmt.Fprintf(&b, "Everything is in %s and is removed at exit\n", d.dir)
	}
	use := fmt.Sprintf("glacier list-vaults --account-id - --region %s --endpoint-url %s", cfg.Region, url)
	if id.fromFile {
		path := d.path(credentialsFile)
		fmt.Fprintf(&b, "The root key is in %s. Try it:\n\n  AWS_SHARED_CREDENTIALS_FILE=%s aws --profile %s %s\n\n", path, quote(path), profile, use)
	} else {
		fmt.Fprintf(&b, "The root key is %s from the environment. Try it:\n\n  aws %s\n\n", id.root.KeyID, use)
	}
	return b.String()
}

// adminFlag tells an operator's command where to ask.
func adminFlag(doors *doors) string {
	if doors.admin == nil {
		return ""
	}
	return " --admin-listen " + doors.adminAddr()
}

func names(cfg config.Config) string {
	all := make([]string, len(cfg.Regions))
	for i, r := range cfg.Regions {
		all[i] = string(r)
	}
	return strings.Join(all, ", ")
}

// endpoint is a URL at which a client on this machine reaches the address.
func endpoint(cfg config.Config, addr net.Addr) string {
	scheme := "http"
	if cfg.TLS.On() {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return scheme + "://" + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// quote makes s one word of a POSIX shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
