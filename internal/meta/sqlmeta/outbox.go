package sqlmeta

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"moraine"
	"moraine/internal/meta"
)

const messageColumns = `message_id, topic, source, event, job_id, body, state, created_ms, next_ms, lease_owner,
attempts, tried_ms, error`

const (
	messageGet  = `SELECT ` + messageColumns + ` FROM outbox WHERE message_id = $1`
	messageSave = `INSERT INTO outbox (` + messageColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (message_id) DO UPDATE SET topic = excluded.topic, source = excluded.source, event = excluded.event,
job_id = excluded.job_id, body = excluded.body, state = excluded.state, created_ms = excluded.created_ms,
next_ms = excluded.next_ms, lease_owner = excluded.lease_owner, attempts = excluded.attempts,
tried_ms = excluded.tried_ms, error = excluded.error`
	messageDrop = `DELETE FROM outbox WHERE message_id = $1`

	// messageClaim selects once, as jobClaim does.
	messageClaim = `WITH claimed AS MATERIALIZED (SELECT message_id FROM outbox WHERE next_ms <= $3
ORDER BY next_ms, message_id LIMIT $4` + skipLocked + `)
UPDATE outbox SET lease_owner = $1, next_ms = $2 WHERE message_id IN (SELECT message_id FROM claimed) RETURNING ` + messageColumns

	messageNextDue = `SELECT next_ms FROM outbox WHERE next_ms IS NOT NULL ORDER BY next_ms LIMIT 1`
	messageList    = `SELECT ` + messageColumns + ` FROM outbox WHERE state = $1 AND message_id > $2 ORDER BY message_id LIMIT $3`
	messageCount   = `SELECT state, count(*) FROM outbox GROUP BY state`
)

// outbox is meta.Outbox.
type outbox struct{ t *tx }

func readMessage(row scanner, m *moraine.Message) error {
	return row.Scan((*string)(&m.ID), &m.Topic, &m.Source, (*string)(&m.Event), (*string)(&m.Job), &m.Body,
		(*string)(&m.State), (*instant)(&m.Created), (*instant)(&m.Next), &m.LeaseOwner,
		&m.Attempts, (*instant)(&m.Tried), &m.Error)
}

func (s outbox) Get(id moraine.MessageID) (moraine.Message, error) {
	return one(s.t, readMessage, messageGet, string(id))
}

func (s outbox) Save(m moraine.Message) error {
	_, err := s.t.exec(messageSave, string(m.ID), m.Topic, m.Source, string(m.Event), string(m.Job), m.Body,
		string(m.State), millis(m.Created), millis(m.Next), m.LeaseOwner, m.Attempts, millis(m.Tried), m.Error)
	return err
}

func (s outbox) Drop(id moraine.MessageID) error { return s.t.execOne(messageDrop, string(id)) }

func (s outbox) Claim(owner string, now, until time.Time, limit int) ([]moraine.Message, error) {
	list, err := many(s.t, readMessage, messageClaim, owner, millis(until), millis(now), bound(limit))
	slices.SortFunc(list, func(a, b moraine.Message) int { return cmp.Compare(a.ID, b.ID) }) // RETURNING promises no order
	return list, err
}

func (s outbox) NextDue() (at time.Time, ok bool, err error) {
	ms, err := one(s.t, number, messageNextDue)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return time.Time{}, false, nil
	case err != nil:
		return time.Time{}, false, err
	}
	return time.UnixMilli(ms).UTC(), true, nil
}

func (s outbox) List(state moraine.MessageState, after moraine.MessageID, limit int) ([]moraine.Message, error) {
	return many(s.t, readMessage, messageList, string(state), string(after), bound(limit))
}

// messageTally is a state and how many messages are in it.
type messageTally struct {
	state moraine.MessageState
	n     int64
}

func (s outbox) CountByState() (map[moraine.MessageState]int64, error) {
	list, err := many(s.t, func(row scanner, v *messageTally) error { return row.Scan((*string)(&v.state), &v.n) }, messageCount)
	if err != nil {
		return nil, err
	}
	counts := make(map[moraine.MessageState]int64, len(list))
	for _, v := range list {
		counts[v.state] = v.n
	}
	return counts, nil
}

var _ meta.Outbox = outbox{}
