// Package load drives a server over kept connections and costs little
// processor time itself, because on one machine the client's time is taken from
// the server. One thread serves all connections with epoll; requests are
// written by hand and signed with a cached key; bodies come from one file in
// memory, hashed beforehand; the bodies of replies go to a buffer that nobody
// reads, or nowhere.
//
// It knows sockets, HTTP/1.1 and Signature Version 4. It must not know what is
// asked, nor import the server's packages.
package load
