package api

import (
	"io"

	"moraine"
)

// hindered asks Config.Hinder whether the operation is to fail. A body that is
// refused as too slow is read first, as far as one reads a refused body at all:
// the client of the real service had time to send it, too.
func (s *Server) hindered(c *call) error {
	if s.cfg.Hinder == nil {
		return nil
	}
	err := s.cfg.Hinder(c.target.op.streamed)
	if c.body != nil && moraine.IsKind(err, moraine.Timeout) {
		_, _ = io.CopyN(io.Discard, c.body, drainMax)
	}
	return err
}
