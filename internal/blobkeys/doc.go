// Package blobkeys keeps the keys that wrap the keys of encrypted blobs.
//
// There are three kinds of keys. Each blob has one of its own, which lies in its
// header (package crypt). Those are wrapped by wrapping keys, of which there are
// few: rows of the database, the newest of which is current. And those are
// wrapped by a master, which is kept elsewhere: in a file, or in a service that
// never gives it away. So a rotation writes a row and no blob, and another master
// needs a few rows to be wrapped again and no blob to be read.
//
// Wrapping keys are unwrapped once, at the start, and held in memory: a master
// that is away later keeps nobody from an archive.
//
// It knows when keys are made, wrapped and become current, and proves of each
// that it can be had back before it is used. It must not know how a master
// works, nor what is encrypted.
package blobkeys
