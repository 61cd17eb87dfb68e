// Package clock is the time a server lives by: the system's clock, never
// running back, never believed when it jumps far ahead, and in test mode moved
// into the future.
//
// It knows the system clock, the monotonic clock, the newest time ever used and
// how far the clock was moved. It must not know where that is kept, nor who asks
// for the time.
//
// # The mark
//
// The newest time ever used is the mark (access-control §6.6). A clock that was
// set back would make archives look younger than they are and locks run longer;
// one that was set back and forth would let what has expired live again. So the
// time is the later of the system's and the mark, and the mark survives a
// restart. What proves that a client signed just now is the system's business
// and does not come from here.
//
// # Proof and trust
//
// A clock that was set forward would make archives old before their time. The
// monotonic clock of a running process cannot be set, so the time it measures
// is proved: from any instant the time may be later by that much without being
// asked. What the system clock claims beyond that is a jump, and jumps are
// taken on trust, of which there is a bounded amount. A jump costs its share
// of
//
//	24 h         while the process runs
//	MaxDowntime  at its start, for then nobody measured
//
// and jumps that together cost no more than the whole are believed. What was
// spent comes back evenly over seven days of proved time, so that many small
// jumps, or many restarts, get no further than a large one. What is spent is
// saved with the mark. From this follows the promise of the package: between
// two readings the time advances by no more than what was proved, trusted or
// confirmed by an operator.
//
// A machine that is suspended stops the monotonic clock of Linux, so to wake up
// is a jump like any other. The clock that does count the time asleep,
// CLOCK_BOOTTIME, takes it from the clock of the board, which can be set.
//
// # States
//
//	following   the time is the system's
//	standing    the system clock is behind the mark: time stands still
//	held        a jump is not believed: time goes on from the mark by the
//	            monotonic clock, and the jump waits for an operator
//
//	from       to         when
//	following  standing   the system clock is set back
//	standing   following  it has caught up, or is set forward to what is
//	                      proved or believed
//	any        held       the system clock is more than 5 minutes, and more
//	                      than trust is left for, ahead of what is proved
//	held       following  an operator confirms the jump: the mark becomes what
//	                      the system clock shows; or the system clock comes
//	                      back to what is proved or believed
//	held       standing   the system clock comes back further than that
//	held       held       the system clock leaves the pending jump by more than
//	                      5 minutes: another jump is pending in its place, and
//	                      cannot be confirmed by the name of the former
//
// Jumps of up to 5 minutes never wait for an operator: what is not believed at
// once is as soon as trust has come back, and until then the time advances by
// what is proved. A restart keeps the state held, and while a jump is pending a
// start trusts no more than a running process does: otherwise a restart would
// be a way around the operator.
//
// A pending jump is named by the reading of the system clock, in whole seconds,
// at which it was found.
//
// # What is durable
//
// The state is saved each minute, when the process ends, as soon as a jump is
// believed or found pending, and before a confirmation or a move has any effect.
// A crash loses what was not saved: up to a minute of the mark, which the system
// clock makes good, unless the time stands still or is held. Then that minute
// is lived twice, which makes things a minute younger and nothing older. A crash
// between the finding of a jump and the saving of it leaves a state in which
// the jump was not found; the next start judges it by MaxDowntime, as it would
// have if the jump had come while no process ran.
package clock
