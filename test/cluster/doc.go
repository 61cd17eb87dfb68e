// Package cluster proves from outside that several servers on one database of
// PostgreSQL and one S3 store are one service: a parallel multipart upload goes
// through a round-robin proxy to three nodes while nodes are killed and replaced
// by new ones with empty directories, the database crashes and comes back, the
// store is away, and the network between a node and the database is cut. Every
// acknowledged byte is read back after each of these. It must not import the
// server's packages.
//
// The short run is for every commit; a long one is
//
//	go test ./test/cluster -run TestCluster -timeout 0 -v -outage 30s -load 60s
//
// and the report of how requests grow with nodes is
//
//	go test ./test/cluster -run TestReport -report -v
package cluster
