package sqlmeta

import (
	"strings"

	"moraine"
	"moraine/internal/meta"
)

const (
	notificationsGet  = `SELECT topic, events FROM vault_notifications WHERE vault_id = $1`
	notificationsSave = `INSERT INTO vault_notifications (vault_id, topic, events) VALUES ($1, $2, $3)
ON CONFLICT (vault_id) DO UPDATE SET topic = excluded.topic, events = excluded.events`
	notificationsDrop = `DELETE FROM vault_notifications WHERE vault_id = $1`
)

// eventSeparator stands between the events of a configuration. Format: never
// change.
const eventSeparator = ","

// notifications is meta.Notifications.
type notifications struct{ t *tx }

func readNotifications(row scanner, n *moraine.Notifications) error {
	var events string
	if err := row.Scan(&n.Topic, &events); err != nil {
		return err
	}
	for name := range strings.SplitSeq(events, eventSeparator) {
		n.Events = append(n.Events, moraine.Event(name))
	}
	return nil
}

func (s notifications) Get(v moraine.VaultID) (moraine.Notifications, error) {
	return one(s.t, readNotifications, notificationsGet, string(v))
}

func (s notifications) Save(v moraine.VaultID, n moraine.Notifications) error {
	names := make([]string, len(n.Events))
	for i, e := range n.Events {
		names[i] = string(e)
	}
	_, err := s.t.exec(notificationsSave, string(v), n.Topic, strings.Join(names, eventSeparator))
	return err
}

func (s notifications) Drop(v moraine.VaultID) error {
	_, err := s.t.exec(notificationsDrop, string(v))
	return err
}

var _ meta.Notifications = notifications{}
