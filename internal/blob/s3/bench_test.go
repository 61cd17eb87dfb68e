package s3_test

import (
	"context"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moraine"
)

// endless gives bytes without holding any.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	e.left -= n
	return int(n), nil
}

// resident is how many bytes of this process are in memory.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// BenchmarkPut uploads blobs of 16 MiB by 64 goroutines to versitygw, and tells the
// memory of this process at its highest.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int64{16 << 20, 1000} {
		b.Run(strconv.FormatInt(size, 10), func(b *testing.B) {
			s := open(b, newGateway(b))
			defer s.Close()
			b.SetBytes(size)
			b.ReportAllocs()
			var most, next atomic.Int64
			ctx, stop := context.WithCancel(b.Context())
			var watch sync.WaitGroup
			watch.Go(func() {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					most.Store(max(most.Load(), resident()))
					<-tick.C
				}
			})
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 64 {
				wg.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if _, err := s.Put(ctx, moraine.NewBlobID(time.Now()), &endless{size}, size); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			stop()
			watch.Wait()
			b.ReportMetric(float64(most.Load())/(1<<20), "MiB-resident")
			if st := s.Stats(); st.Batches > 0 {
				b.ReportMetric(float64(st.BatchRecords)/float64(st.Batches), "blobs/object")
			}
			runtime.GC()
		})
	}
}
