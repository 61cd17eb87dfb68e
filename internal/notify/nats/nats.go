// Package nats delivers messages to a subject of NATS that a stream of
// JetStream takes in.
//
// It knows the NATS client. It must not know when a message is due, or what a
// job is.
package nats

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"moraine"
)

// connectTimeout bounds a connection being made.
const connectTimeout = 4 * time.Second

// Dialer makes connections.
type Dialer interface {
	Dial(network, address string) (net.Conn, error)
}

// Config is what a Sink is made of.
type Config struct {
	URL         string // required: nats://host:port or tls://host:port
	Subject     string // required
	Credentials string // file with a JWT and a seed; "" for none
	Dialer      Dialer // required
}

// Sink is a notify.Sink. It connects with its first message.
type Sink struct {
	cfg  Config
	mu   sync.Mutex // guards conn
	conn *nats.Conn
}

// New assembles a Sink and touches nothing.
func New(cfg Config) *Sink { return &Sink{cfg: cfg} }

// Deliver publishes the body and waits until the stream has it. The stream
// drops a second copy that comes within its window for duplicates.
func (s *Sink) Deliver(ctx context.Context, m moraine.Message) error {
	js, err := s.stream()
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = js.Publish(ctx, s.cfg.Subject, []byte(m.Body), jetstream.WithMsgID(string(m.ID)))
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// stream connects if there is no connection. One that was lost is not mended but
// made anew with the next message.
func (s *Sink) stream() (jetstream.JetStream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.IsClosed() {
		options := []nats.Option{
			nats.Name("moraine"), nats.SetCustomDialer(s.cfg.Dialer), nats.Timeout(connectTimeout),
			nats.NoReconnect(), nats.IgnoreDiscoveredServers(),
		}
		if s.cfg.Credentials != "" {
			options = append(options, nats.UserCredentials(s.cfg.Credentials))
		}
		conn, err := nats.Connect(s.cfg.URL, options...)
		if err != nil {
			return nil, err
		}
		s.conn = conn
	}
	return jetstream.New(s.conn)
}

// Close ends the connection.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
	return nil
}
