package adminapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"moraine/internal/clock"
)

// Clock is what operators may ask of the clock. Every field is required; all
// are called from any goroutine.
type Clock struct {
	Status func() clock.Status
	// Confirm believes the system clock, if the jump with that name is pending.
	Confirm func(name time.Time) error
	// Process is what the process says about itself in the lock of its data
	// directory, so that it can be told from another one.
	Process string
}

// The paths of the clock.
const (
	ClockPath        = "/clock"
	ConfirmClockPath = "/clock/confirm"
)

// confirmBodyMax bounds the body of a confirmation, in bytes.
const confirmBodyMax = 1 << 10

// ClockReply is how the clock stands.
type ClockReply struct {
	State   string       `json:"state"` // following, standing or held
	Now     time.Time    `json:"now"`
	System  time.Time    `json:"systemClock"`
	Pending *PendingJump `json:"pendingJump,omitempty"`
	Advice  string       `json:"advice,omitempty"` // what to do; "" if all is well
	Process string       `json:"process,omitempty"`
}

// PendingJump waits for an operator.
type PendingJump struct {
	From time.Time `json:"from"` // the time when it was found
	To   time.Time `json:"to"`   // the system clock then, its name
}

// Confirmation is the body of a confirmation.
type Confirmation struct {
	Jump *time.Time `json:"jump"` // the name of the jump
}

// NewClockReply describes a status.
func NewClockReply(s clock.Status, process string) ClockReply {
	r := ClockReply{State: "following", Now: s.Now, System: s.System, Advice: s.Advice(), Process: process}
	switch {
	case !s.Pending.IsZero():
		r.State, r.Pending = "held", &PendingJump{From: s.Pending.From, To: s.Pending.To}
	case s.Behind:
		r.State = "standing"
	}
	return r
}

func (c *Clock) reply() ClockReply { return NewClockReply(c.Status(), c.Process) }

// register adds the routes of the clock.
func (c *Clock) register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+ClockPath, func(w http.ResponseWriter, _ *http.Request) { answer(w, c.reply()) })
	mux.HandleFunc("POST "+ConfirmClockPath, command(confirmBodyMax, func(_ context.Context, body []byte) (any, error) {
		if err := c.confirm(body); err != nil {
			return nil, err
		}
		return c.reply(), nil
	}))
}

func (c *Clock) confirm(body []byte) error {
	var in Confirmation
	if err := decode(body, &in); err != nil {
		return err
	}
	if in.Jump == nil {
		return errors.New(`name the jump that is pending, as in {"jump": "2027-01-01T00:00:00Z"}`)
	}
	return c.Confirm(*in.Jump)
}

// health says what /healthz does beyond that the process lives.
func (c *Clock) health() string {
	s := c.Status()
	if advice := s.Advice(); advice != "" {
		return fmt.Sprintf("ok\nclock: %s", advice)
	}
	return "ok"
}
