package pack

import "sync/atomic"

// Stats counts what a store did since it was opened.
type Stats struct {
	Puts, PutBytes        int64 // blobs stored, and their bytes
	Batches, BatchRecords int64 // syncs of shared packs for appending, and the records they made durable
	ReadBytes             int64 // delivered to readers, checked
	Deletes               int64
	Corruptions           int64 // reads that found damage
	Syncs                 int64 // of files and directories, if the file system counts them
	Unsealed              int64 // files in open/
	BufferedBytes         int64 // small blobs on their way to a pack
}

type counters struct {
	puts, putBytes, batches, batchRecords, readBytes, deletes, corruptions, buffered atomic.Int64
}

// Stats returns the figures of this moment.
func (s *Store) Stats() Stats {
	c := &s.stats
	st := Stats{
		Puts: c.puts.Load(), PutBytes: c.putBytes.Load(),
		Batches: c.batches.Load(), BatchRecords: c.batchRecords.Load(),
		ReadBytes: c.readBytes.Load(), Deletes: c.deletes.Load(),
		Corruptions: c.corruptions.Load(), BufferedBytes: c.buffered.Load(),
	}
	if counter, ok := s.fs.(interface{ Syncs() int64 }); ok {
		st.Syncs = counter.Syncs()
	}
	s.unsealedMu.Lock()
	defer s.unsealedMu.Unlock()
	st.Unsealed = int64(len(s.unsealed))
	return st
}
