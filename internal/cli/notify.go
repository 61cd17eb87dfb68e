package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moraine"
	"moraine/internal/config"
	"moraine/internal/server"
)

func newNotify(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "notify", Short: "Look after messages that were not delivered", Args: cobra.NoArgs}
	parent.AddCommand(newNotifyList(e), newNotifyRetry(e))
	return parent
}

// offline adds the flags of a command on a data directory that no server is
// using, and returns what opens it.
func offline(e *env, cmd *cobra.Command) func() (server.Offline, config.Config, error) {
	file := cmd.Flags().String("config", "", "YAML file with settings, for data and notify.retention")
	cmd.Flags().String("data", "./moraine-data", "data directory")
	return func() (server.Offline, config.Config, error) {
		cfg, err := load(e, cmd, *file)
		return server.Offline{Data: cfg.Data, Meta: cfg.Meta, Log: newLog(e, cfg.Log)}, cfg, err
	}
}

func newNotifyList(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the messages in the outbox",
		Long: strings.TrimSpace(`
List the messages about finished jobs that were not delivered, in a data
directory that no server is using: id, state, when it was made, failed attempts,
topic, job, the last error and when it is removed, with tabs between them.

The state is pending, unrouted (notify.targets names no target for the topic) or
dead (given up after a day of attempts). A message that is unrouted or dead is
removed notify.retention after it was made; of a pending one the last column is -.`),
		Args: cobra.NoArgs,
	}
	open := offline(e, cmd)
	cmd.Flags().String("notify-retention", "720h", "how long messages are kept that nobody gets")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, cfg, err := open()
		if err != nil {
			return err
		}
		err = o.Messages(cmd.Context(), cfg.Notify.Retention, func(m moraine.Message, removed time.Time) error {
			end := "-"
			if !removed.IsZero() {
				end = removed.Format(time.RFC3339)
			}
			_, err := fmt.Fprintf(e.stdout, "%s\t%s\t%s\t%d\t%q\t%s\t%q\t%s\n",
				m.ID, m.State, m.Created.Format(time.RFC3339), m.Attempts, m.Topic, m.Job, m.Error, end)
			return err
		})
		if err != nil {
			return &exit{exitFailed, err}
		}
		return nil
	}
	return cmd
}

func newNotifyRetry(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retry ID...",
		Short: "Deliver messages at the next start, as if they had never been tried",
		Args:  cobra.MinimumNArgs(1),
	}
	open := offline(e, cmd)
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		o, _, err := open()
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := o.RetryMessage(cmd.Context(), moraine.MessageID(id)); err != nil {
				return &exit{exitFailed, err}
			}
		}
		return nil
	}
	return cmd
}
