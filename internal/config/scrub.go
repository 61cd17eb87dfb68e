package config

import (
	"fmt"
	"time"

	"moraine"
)

// Scrub is how everything is read again.
type Scrub struct {
	Period time.Duration // from the begin of a pass to that of the next; 0 for no passes
	Rate   int64         // bytes per second; 0 for no bound
	Topic  string        // ARN of the topic that is told of damage; "" for none
}

// Bounds of Scrub.
const (
	scrubPeriodMin = time.Hour
	scrubRateMin   = 64 << 10
)

func scrubSettings() []Setting {
	return []Setting{
		duration("scrub.period", "720h",
			"How often every stored byte is read and compared with its digests. 0s: only when moraine scrub now asks for it. Otherwise at least 1h.",
			func(c *Config) *time.Duration { return &c.Scrub.Period }),
		size("scrub.rate", "20MiB",
			"How many bytes a second are read for that, at least 64KiB. 0: as many as the disks give. At 20MiB one pass over 50 TiB takes 30 days.",
			func(c *Config) *int64 { return &c.Scrub.Rate }),
		text("scrub.topic", "", "ARN",
			"Topic that gets a message about each blob that is found damaged, or that was made anew from another copy, at most 100 in a pass. Where it goes notify.targets says.",
			func(c *Config) *string { return &c.Scrub.Topic }),
	}
}

func (c *Config) checkScrub() error {
	switch {
	case c.Scrub.Period != 0 && c.Scrub.Period < scrubPeriodMin:
		return fmt.Errorf("scrub.period is %s; give 0s for never, or at least %s", printDuration(c.Scrub.Period), printDuration(scrubPeriodMin))
	case c.Scrub.Topic != "" && !moraine.ValidTopic(c.Scrub.Topic):
		return fmt.Errorf("scrub.topic is %q; write it as in arn:aws:sns:us-east-1:210987654321:damage", c.Scrub.Topic)
	case c.Scrub.Rate != 0 && c.Scrub.Rate < scrubRateMin:
		return fmt.Errorf("scrub.rate is %s; give 0 for no bound, or at least %s", printSize(c.Scrub.Rate), printSize(scrubRateMin))
	}
	return nil
}
