package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"moraine/internal/account"
	"moraine/internal/audit"
	"moraine/internal/config"
	"moraine/internal/seal"
)

// settingsFile holds what the last start went by, sealed with the master keys
// since there may be secrets in it. Format: never change.
const settingsFile = "last-settings"

// lastStart is what is remembered of a start.
type lastStart struct {
	Settings map[string]string `json:"settings"`
	Master   string            `json:"masterKey"` // name of the one that seals
	RootKey  string            `json:"rootKeyId"`
}

// recordChanges tells the audit log what differs from the last start: the names
// of settings, never their values, and which keys are new. What it cannot read
// or write it leaves to the next start, since nothing but this depends on it.
func (d *data) recordChanges(cfg config.Config, id identity, log *audit.Log, complaints *slog.Logger) {
	now := lastStart{Settings: cfg.Values(), Master: id.keyring.Name(), RootKey: id.root.KeyID}
	before, err := d.readLastStart(id.keyring)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		complaints.Warn("the settings of the last start cannot be read, so changes are not on record", "err", err)
	default:
		now.compare(before, log)
	}
	// The events come first: a crash here records them once more.
	if err := flushAudit(log); err != nil {
		return // it is in the log, and said again by the next start
	}
	text, err := json.Marshal(now)
	if err == nil {
		sealed := base64.StdEncoding.EncodeToString(account.SealFile(id.keyring, text, settingsFile))
		err = d.write(settingsFile, sealed+"\n")
	}
	if err != nil {
		complaints.Warn("the settings of this start are not remembered", "err", err)
	}
}

func (d *data) readLastStart(keyring *seal.Keyring) (lastStart, error) {
	var s lastStart
	text, err := d.place.readSmall(d.path(settingsFile))
	if err != nil {
		return s, err
	}
	sealed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return s, err
	}
	plain, err := account.OpenFile(keyring, sealed, settingsFile)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(plain, &s)
}

// compare records in which ways s differs from the start before it.
func (s *lastStart) compare(before lastStart, log *audit.Log) {
	var changed []string
	for key, value := range s.Settings {
		if was, known := before.Settings[key]; !known || was != value {
			changed = append(changed, key)
		}
	}
	for key := range before.Settings {
		if _, known := s.Settings[key]; !known {
			changed = append(changed, key)
		}
	}
	if len(changed) > 0 {
		slices.Sort(changed)
		log.Service(audit.ConfigChange, map[string]any{"settings": changed})
	}
	if s.Master != before.Master {
		log.Service(audit.KeyRotation, map[string]any{"key": "master", "current": s.Master, "previous": before.Master})
	}
	if s.RootKey != before.RootKey {
		log.Service(audit.KeyRotation, map[string]any{"key": "root", "current": s.RootKey, "previous": before.RootKey})
	}
}
