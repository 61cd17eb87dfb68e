package server

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"moraine/internal/config"
)

// certificate is the certificate in use. It can be replaced while connections
// are made.
type certificate struct {
	files   config.TLS
	current atomic.Pointer[tls.Certificate]
}

// loadCertificate reads the files once and keeps what they hold.
func loadCertificate(files config.TLS) (*certificate, error) {
	c := &certificate{files: files}
	return c, c.reload()
}

// reload reads the files again. If they are no good the old certificate stays.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("the certificate of tls.cert and tls.key cannot be used: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

// config is the TLS of the API listener: version 1.2 or later, Go's choice of
// suites.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
