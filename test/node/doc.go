// Package node tests what surrounds a node: the service manager that starts and
// stops it, the load balancer that asks whether it is ready, and the collector
// that its traces go to. Everything is a real process and a real socket.
package node
