package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	inputSize = 16 << 10  // room for the head of a reply
	copyMax   = 128 << 10 // larger bodies are sent from the file, without a copy
	readMax   = 256 << 10 // bytes of a reply's body received in one call
	tick      = 50 * time.Millisecond
)

// NewCorpus makes a corpus. Close gives its memory back.
func NewCorpus(size int64) (*Corpus, error) {
	fd, err := unix.MemfdCreate("corpus", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	c := &Corpus{file: os.NewFile(uintptr(fd), "corpus")}
	if err = c.file.Truncate(size); err == nil {
		c.bytes, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("corpus of %d bytes: %w", size, err), c.file.Close())
	}
	fill(c.bytes)
	return c, nil
}

// Close ends the corpus and every body cut from it.
func (c *Corpus) Close() error { return errors.Join(unix.Munmap(c.bytes), c.file.Close()) }

// Run does a job. It needs Linux.
func (c *Corpus) Run(ctx context.Context, job Job) (Result, error) {
	// One thread, one epoll: nobody hands anything to anybody.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := &loop{Job: job, corpus: int(c.file.Fd()), conns: make([]conn, job.Conns)}
	if l.Idle == 0 {
		l.Idle = time.Minute
	}
	if !l.Discard {
		l.sink = make([]byte, readMax)
	}
	l.result.Took = make([]time.Duration, 0, 1<<16)
	err := l.run(ctx)
	for i := range l.conns {
		if l.conns[i].open {
			err = errors.Join(err, unix.Close(l.conns[i].fd))
		}
	}
	l.result.sort()
	return l.result, err
}

// loop is a job under way. One goroutine owns it and its connections.
type loop struct {
	Job
	corpus int // file descriptor
	epoll  int
	addr   unix.Sockaddr
	conns  []conn
	begun  int       // requests
	open   int       // requests without a complete reply
	stop   time.Time // no request begins from here on
	sink   []byte    // receives bodies of replies; empty to discard them
	result Result
}

// conn is one connection with at most one request under way.
type conn struct {
	fd    int
	open  bool // fd is open
	began time.Time
	index int // of the request, negative: none

	head    []byte // of the request, with the stamp
	front   []byte // what is unsent of it
	data    []byte // unsent, if the body is copied
	at, end int64  // unsent in the corpus, if it is not
	sent    int64  // bytes of the body

	in     [inputSize]byte
	filled int
	answer bool // the head of the reply is complete
	reply  Reply
	left   int64 // unread bytes of its body
}

func (l *loop) run(ctx context.Context) error {
	addr, err := net.ResolveTCPAddr("tcp4", l.Addr)
	if err != nil {
		return err
	}
	l.addr = &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create: %w", err)
	}
	defer unix.Close(l.epoll)
	for i := range l.conns {
		l.conns[i].index = -1
		if err := l.connect(i); err != nil {
			return err
		}
	}
	cpu := ownCPU()
	began := time.Now()
	if l.Duration > 0 {
		l.stop = began.Add(l.Duration)
	}
	for i := range l.conns {
		if err := l.next(i, time.Now()); err != nil {
			return err
		}
	}
	err = l.serve(ctx)
	l.result.Elapsed = time.Since(began)
	l.result.ClientCPU = ownCPU() - cpu
	return err
}

// serve handles events until no request is open.
func (l *loop) serve(ctx context.Context) error {
	events := make([]unix.EpollEvent, 2*len(l.conns))
	last := time.Now()
	for l.open > 0 {
		n, err := wait(l.epoll, events)
		if err != nil {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		if n > 0 {
			last = time.Now()
		} else if time.Since(last) > l.Idle {
			return fmt.Errorf("nothing happened for %v with %d requests open", l.Idle, l.open)
		}
		for _, e := range events[:n] {
			if err := l.handle(int(e.Fd), e.Events); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// wait is epoll_wait behind the back of Go's scheduler: to hand the processor
// over and to fetch it again would cost more than a request does. Nothing else
// runs meanwhile, and the tick bounds it.
func wait(epoll int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(tick.Milliseconds()), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR: // the scheduler asks for the thread now and then
		return 0, nil
	}
	return 0, errno
}

// handle does what connection i is ready for. Events are told once, so both
// directions go on until the kernel has no more.
func (l *loop) handle(i int, events uint32) error {
	c := &l.conns[i]
	if c.index < 0 {
		return nil // an event of a connection that has no more to do
	}
	if events&unix.EPOLLOUT != 0 && c.unsent() {
		if err := l.send(c); err != nil {
			return err
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	return l.receive(i)
}

func (l *loop) connect(i int) error {
	c := &l.conns[i]
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.fd, c.open = fd, true
	if err := unix.Connect(fd, l.addr); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("non-blocking socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// next begins another request on connection i, unless the job is over.
func (l *loop) next(i int, now time.Time) error {
	c := &l.conns[i]
	c.index = -1
	moved := l.result.Sent + l.result.Received
	if l.Count > 0 && l.begun >= l.Count || l.Bytes > 0 && moved >= l.Bytes || !l.stop.IsZero() && !now.Before(l.stop) {
		return nil
	}
	if c.reply.last {
		if err := l.reconnect(i); err != nil {
			return err
		}
	}
	c.index = l.begun
	l.begun++
	l.open++
	var body *Body
	c.head, body = l.Next(i, c.index, c.head[:0], now)
	c.data, c.at, c.end, c.sent = nil, 0, 0, 0
	if body != nil {
		c.head = append(c.head, body.stamp[:]...)
		c.sent = body.Size
		if body.Size <= copyMax {
			c.data = body.data
		} else {
			c.at, c.end = body.at, body.at+int64(len(body.data))
		}
	}
	c.front = c.head
	c.filled, c.answer, c.reply, c.left = 0, false, Reply{}, 0
	c.began = time.Now()
	return l.send(c)
}

func (l *loop) reconnect(i int) error {
	c := &l.conns[i]
	c.open, c.reply.last = false, false
	if err := unix.Close(c.fd); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return l.connect(i)
}

func (c *conn) unsent() bool { return len(c.front) > 0 || len(c.data) > 0 || c.at < c.end }

// send writes until all is sent or the socket is full.
func (l *loop) send(c *conn) error {
	for len(c.front) > 0 || len(c.data) > 0 {
		n, err := writeTwo(c.fd, c.front, c.data, c.at < c.end)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return l.broken(c, err)
		}
		front := min(n, len(c.front))
		c.front = c.front[front:]
		c.data = c.data[n-front:]
	}
	for c.at < c.end {
		at := c.at
		_, err := unix.Sendfile(c.fd, l.corpus, &at, int(c.end-c.at))
		c.at = at
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return l.broken(c, err)
		}
	}
	return nil
}

// writeTwo sends two buffers in one call; more says that a file follows.
func writeTwo(fd int, front, data []byte, more bool) (int, error) {
	flags := unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	switch {
	case len(data) == 0:
		return unix.SendmsgN(fd, front, nil, nil, flags)
	case len(front) == 0:
		return unix.SendmsgN(fd, data, nil, nil, flags)
	}
	return unix.SendmsgBuffers(fd, [][]byte{front, data}, nil, nil, flags)
}

// broken reports a failure to send; a server that refuses a body and hangs up
// may have said why.
func (l *loop) broken(c *conn, err error) error {
	n, _, recvErr := unix.Recvfrom(c.fd, c.in[c.filled:], unix.MSG_DONTWAIT)
	if recvErr == nil && n > 0 {
		return fmt.Errorf("send: %w; the server said %q", err, c.in[:c.filled+n])
	}
	return fmt.Errorf("send: %w", err)
}

// receive reads until the reply is complete or the socket is empty.
func (l *loop) receive(i int) error {
	c := &l.conns[i]
	for {
		var n int
		var err error
		if c.answer && c.left > 0 && c.reply.Status == l.Want {
			n, err = l.drop(c.fd, int(min(c.left, readMax)))
			c.left -= int64(max(n, 0))
		} else {
			if c.filled == len(c.in) {
				return fmt.Errorf("reply is too long: %.200q", c.in[:])
			}
			n, err = unix.Read(c.fd, c.in[c.filled:])
			if n > 0 {
				c.filled += n
				if c.answer {
					c.left -= int64(n)
				}
			}
		}
		switch {
		case err == unix.EAGAIN:
			return nil
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case n == 0:
			return fmt.Errorf("the server ended the connection within request %d", c.index)
		}
		if !c.answer {
			if err := c.parse(); err != nil {
				return err
			}
		}
		if c.answer && c.left <= 0 {
			return l.complete(i)
		}
	}
}

// parse looks for the end of the reply's head.
func (c *conn) parse() error {
	r, size, err := parseReply(c.in[:c.filled])
	if err != nil || size == 0 {
		return err
	}
	c.answer, c.reply = true, r
	c.left = r.Size - int64(c.filled-size)
	if c.left < 0 {
		return errors.New("bytes after the end of a reply")
	}
	return nil
}

// complete counts a reply and goes on with the next request.
func (l *loop) complete(i int) error {
	c := &l.conns[i]
	now := time.Now()
	if c.reply.Status != l.Want {
		return fmt.Errorf("request %d: got status %d, want %d: %.2000q", c.index, c.reply.Status, l.Want, c.in[:c.filled])
	}
	if c.unsent() {
		return fmt.Errorf("request %d: the reply came before the body was sent", c.index)
	}
	l.open--
	l.result.Took = append(l.result.Took, now.Sub(c.began))
	l.result.Sent += c.sent
	l.result.Received += c.reply.Size
	if l.Done != nil {
		if err := l.Done(c.index, &c.reply); err != nil {
			return err
		}
	}
	return l.next(i, now)
}

// drop receives bytes that nobody wants, or drops them without copying them
// (tcp(7)).
func (l *loop) drop(fd, size int) (int, error) {
	if !l.Discard {
		return unix.Read(fd, l.sink[:size])
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), 0, uintptr(size), unix.MSG_TRUNC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
