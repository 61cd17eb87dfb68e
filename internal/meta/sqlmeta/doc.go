// Package sqlmeta keeps the rows of package meta in SQLite or PostgreSQL.
//
// It knows one database, its schema and its versions (docs/format/rows.md), and
// in dialect.go all in which the two engines differ. It must not know what the
// rows are for: it obeys and never judges.
//
// Reading and writing never meet. Views run on a bounded pool of connections
// that cannot write, each in one read transaction on a snapshot of the
// write-ahead log. Updates take turns on one connection that a single
// goroutine, the writer, hands round: it begins a transaction for whoever
// comes first, gives everybody who is waiting by then a savepoint of their own,
// and commits once for all of them. While that commit waits for the disk the
// next batch gathers, so the number of fsyncs does not grow with the number of
// clients, and a lone Update waits for nobody.
//
// On PostgreSQL the batch is one SERIALIZABLE transaction, and other nodes have
// writers of their own. What lost a race or its connection, and committed nothing,
// runs again a bounded number of times; what was lost with its commit never does
// (docs/adr/0009-postgresql.md).
//
// The statements are the subset of SQL that SQLite and PostgreSQL read alike:
// numbered parameters, application-made ids, ON CONFLICT with columns,
// RETURNING, paging by comparing row values. Every statement is listed in
// queries.go and prepared once per connection.
package sqlmeta
