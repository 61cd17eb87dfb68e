package fixity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// A report FILE goes with FILE.sha512, one line as sha512sum writes it, and
// FILE.sha512.sig, the Ed25519 signature of that line: the report may be larger
// than memory, the line is not.

// Key is the private key that signs reports. It does not print itself.
type Key struct{ private ed25519.PrivateKey }

// NewKey makes a key.
func NewKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return &Key{private}, err
}

// String hides the key.
func (*Key) String() string { return "REDACTED" }

// GoString hides the key.
func (*Key) GoString() string { return "REDACTED" }

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// PEM is the text of the private key, as PKCS #8.
func (k *Key) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), err
}

// ParseKey reads what PEM returned. No error repeats what the text says.
func ParseKey(text []byte) (*Key, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != privateBlock {
		return nil, errors.New("the text is not a private key in PEM form")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("the text is not an Ed25519 private key")
	}
	return &Key{private}, nil
}

// Public is the text of the public key, which openssl reads.
func (k *Key) Public() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}), err
}

// ParsePublic reads what Public returned.
func ParsePublic(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != publicBlock {
		return nil, errors.New("the text is not a public key in PEM form")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("the text is not an Ed25519 public key")
	}
	return public, nil
}

// Sum hashes a report while it passes to w.
type Sum struct {
	w    io.Writer
	hash hash.Hash
}

// NewSum returns a Sum over w.
func NewSum(w io.Writer) *Sum { return &Sum{w: w, hash: sha512.New()} }

func (s *Sum) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.hash.Write(p[:n])
	return n, err
}

// Line is the content of FILE.sha512 for a report of the given base name.
func (s *Sum) Line(name string) string {
	return hex.EncodeToString(s.hash.Sum(nil)) + "  " + name + "\n"
}

// Sign signs the line of a report.
func (k *Key) Sign(line string) []byte { return ed25519.Sign(k.private, []byte(line)) }

// lineMax bounds a line: a digest, two spaces and a file name.
const lineMax = 4096

// Verify checks a report against its line and the signature of the line. The
// error says which of the two is wrong. The file may have another name by now.
func Verify(report io.Reader, line string, signature []byte, public ed25519.PublicKey) error {
	if len(line) > lineMax || len(signature) != ed25519.SignatureSize || !ed25519.Verify(public, []byte(line), signature) {
		return errors.New("the signature is not that of the checksum by this key")
	}
	want, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
	if !ok || name == "" || strings.ContainsAny(name, "\n\r") {
		return errors.New("the checksum is not a line of sha512sum")
	}
	sum := NewSum(io.Discard)
	if _, err := io.Copy(sum, report); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	if got, _, _ := strings.Cut(sum.Line(name), "  "); got != want {
		return errors.New("the report is not the one that was signed: its SHA-512 differs")
	}
	return nil
}
