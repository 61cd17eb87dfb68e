package nats_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"moraine"
	"moraine/internal/egress"
	"moraine/internal/notify/nats"
)

// start runs a server with JetStream, without a stream.
func start(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(2 * time.Minute) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	running := start(t)
	s := nats.New(nats.Config{URL: running.ClientURL(), Subject: "moraine.done", Dialer: egress.Dialer{AllowPrivate: true}})
	m := moraine.Message{ID: "message-1", Body: `{"a":"<&>é"}`}
	if err := s.Deliver(t.Context(), m); err == nil {
		t.Error("a message was delivered that no stream took")
	}
	conn, err := client.Connect(running.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "done", Subjects: []string{"moraine.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second is dropped as a duplicate
		if err := s.Deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.ID, m.Body = "message-2", "other" // on a new connection
	if err := s.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 2 {
		t.Fatalf("the stream has %d messages, %v", info.State.Msgs, err)
	}
	first, err := stream.GetMsg(t.Context(), 1)
	if err != nil || string(first.Data) != `{"a":"<&>é"}` || first.Subject != "moraine.done" {
		t.Errorf("message %+v, %v", first, err)
	}
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	s := nats.New(nats.Config{URL: "nats://127.0.0.1:1", Subject: "x", Dialer: egress.Dialer{}})
	if err := s.Deliver(t.Context(), moraine.Message{}); err == nil {
		t.Error("a private address was connected to")
	} else if !errors.Is(err, egress.ErrPrivate) && !errors.Is(err, client.ErrNoServers) {
		t.Error(err)
	}
}
