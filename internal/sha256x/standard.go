//go:build !amd64 || purego

package sha256x

// Without kernels there is crypto/sha256, which has assembly of its own on most
// processors.
func detect() features { return features{} }

func choose(features, func([]byte) [Size]byte) (features, error) { return features{}, nil }

func sumGroup(sums *[groupMax][Size]byte, messages [][]byte) { sumEach(sums[:len(messages)], messages) }

// The others are reached only with SHA instructions.

func update(*[8]uint32, []byte) { panic("sha256x: no kernel") }

func updateBoth(_, _ *[8]uint32, _ []byte) { panic("sha256x: no kernel") }
