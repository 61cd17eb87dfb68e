package sqlmeta

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SyncLog syncs an open file as the engine has its write-ahead log synced, and
// returns what the engine is told.
func SyncLog(fd int32) int32 {
	tls := libc.NewTLS()
	defer tls.Close()
	file := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.TunixFile{})))
	defer libc.Xfree(tls, file)
	at[sqlite3.TunixFile](file).Fh = fd
	return syncFile(tls, file, sqlite3.SQLITE_SYNC_NORMAL)
}

// DataSource is how the writer's connection is opened.
func DataSource(path string) (string, error) { return dataSource(Config{Path: path}, roleWriter) }
