package job

import (
	"errors"
	"fmt"

	"moraine"
	"moraine/internal/meta"
)

// notify writes the messages about a job that ends into the outbox, in the
// transaction that ends it (§9.2): whoever reads one finds the job in its final
// state, and a job that ended has its messages, whatever crashes. One goes to
// the topic of the vault if the event is enabled, one to the topic of the job,
// also if they are the same.
func notify(tx meta.Tx, j *moraine.Job) error {
	v, err := tx.Vaults().ByID(j.Vault)
	if errors.Is(err, meta.ErrNotFound) {
		return nil // the vault was deleted while the job ran, and its configuration with it
	}
	if err != nil {
		return fmt.Errorf("find vault: %w", err)
	}
	topics, err := topicsOf(tx, j)
	if err != nil || len(topics) == 0 {
		return err
	}
	d := Describe(&v, j)
	body, err := d.text()
	if err != nil {
		return fmt.Errorf("describe job: %w", err)
	}
	due, err := tx.Time()
	if err != nil {
		return err
	}
	for _, topic := range topics {
		err := tx.Outbox().Save(moraine.Message{
			ID: moraine.NewMessageID(j.Completed), Topic: topic, Source: v.ARN(), Event: j.Action.Completed(), Job: j.ID,
			Body: body, State: moraine.MessagePending, Created: j.Completed, Next: due,
		})
		if err != nil {
			return fmt.Errorf("write message: %w", err)
		}
	}
	return nil
}

// topicsOf lists the topics that hear of the end of a job, one for each message.
func topicsOf(tx meta.Tx, j *moraine.Job) ([]string, error) {
	var topics []string
	n, err := tx.Documents().Notifications().Get(j.Vault)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return nil, fmt.Errorf("read notification configuration: %w", err)
	}
	if n.Enabled(j.Action.Completed()) {
		topics = append(topics, n.Topic)
	}
	if j.SNSTopic != "" {
		topics = append(topics, j.SNSTopic)
	}
	return topics, nil
}
