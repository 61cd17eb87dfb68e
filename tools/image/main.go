// Command image builds the container image of packaging/docker/Dockerfile from a
// static binary, without Docker: one layer with the same files, and the settings
// of the Dockerfile's last stage. It writes the image as an OCI layout, reads it
// back, and unpacks its root file system, to be run by chroot.
//
//	image DOCKERFILE BINARY CERTIFICATES LAYOUT ROOT
package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: image DOCKERFILE BINARY CERTIFICATES LAYOUT ROOT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(dockerfile, binary, certificates, dir, root string) error {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return err
	}
	config, err := lastStage(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", dockerfile, err)
	}
	files, err := rootFS(binary, certificates)
	if err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil })
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Config: *config,
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(image)},
	}); err != nil {
		return err
	}
	where, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = where.AppendImage(image)
	}
	if err != nil {
		return err
	}
	return unpack(dir, root)
}

func diffIDs(image v1.Image) []v1.Hash {
	c, err := image.ConfigFile()
	if err != nil {
		panic(err) // an image in memory has one
	}
	return c.RootFS.DiffIDs
}

// lastStage reads what the last stage of a Dockerfile says of the image.
func lastStage(text string) (*v1.Config, error) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	at := strings.LastIndex(text, "\nFROM ")
	if at < 0 {
		return nil, errors.New("there is no last stage")
	}
	c := &v1.Config{ExposedPorts: map[string]struct{}{}, Volumes: map[string]struct{}{}}
	for line := range strings.Lines(text[at+1:]) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch word {
		case "", "#":
		case "FROM":
			if rest != "scratch" {
				return nil, fmt.Errorf("the last stage is from %s, want scratch", rest)
			}
		case "COPY":
			if rest != "--from=build /root-fs/ /" {
				return nil, fmt.Errorf("the last stage copies %s", rest)
			}
		case "USER":
			c.User = rest
		case "WORKDIR":
			c.WorkingDir = rest
		case "VOLUME":
			c.Volumes[rest] = struct{}{}
		case "ENV":
			c.Env = append(c.Env, strings.Fields(rest)...)
		case "EXPOSE":
			c.ExposedPorts[rest+"/tcp"] = struct{}{}
		case "STOPSIGNAL":
			c.StopSignal = rest
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(rest), &c.Entrypoint)
		case "CMD":
			err = json.Unmarshal([]byte(rest), &c.Cmd)
		case "HEALTHCHECK":
			c.Healthcheck, err = healthcheck(rest)
		default:
			return nil, fmt.Errorf("%s is not known here", word)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	if c.User == "" || strings.HasPrefix(c.User, "0") || len(c.Entrypoint) == 0 || c.Healthcheck == nil {
		return nil, errors.New("the image needs a user that is not root, an entry point and a health check")
	}
	return c, nil
}

func healthcheck(text string) (*v1.HealthConfig, error) {
	flags, command, ok := strings.Cut(text, "CMD ")
	if !ok {
		return nil, errors.New("there is no CMD")
	}
	h := &v1.HealthConfig{Test: []string{"CMD"}}
	for _, flag := range strings.Fields(flags) {
		name, value, _ := strings.Cut(flag, "=")
		var err error
		switch name {
		case "--interval":
			h.Interval, err = time.ParseDuration(value)
		case "--timeout":
			h.Timeout, err = time.ParseDuration(value)
		case "--start-period":
			h.StartPeriod, err = time.ParseDuration(value)
		case "--retries":
			_, err = fmt.Sscan(value, &h.Retries)
		default:
			err = fmt.Errorf("%s is not known here", name)
		}
		if err != nil {
			return nil, err
		}
	}
	var words []string
	err := json.Unmarshal([]byte(command), &words)
	h.Test = append(h.Test, words...)
	return h, err
}

// owner is the user of the image.
const owner = 65532

// rootFS is the tar of the files that the first stage of the Dockerfile makes.
func rootFS(binary, certificates string) ([]byte, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	trusted, err := os.ReadFile(certificates)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		mode int64
		uid  int
		text []byte // nil for a directory
	}{
		{"usr/", 0o755, 0, nil}, {"usr/bin/", 0o755, 0, nil}, {"usr/bin/moraine", 0o755, 0, program},
		{"etc/", 0o755, 0, nil}, {"etc/ssl/", 0o755, 0, nil}, {"etc/ssl/certs/", 0o755, 0, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, 0, trusted},
		{"etc/passwd", 0o644, 0, []byte("moraine:x:65532:65532:Moraine:/var/lib/moraine:/sbin/nologin\n")},
		{"etc/group", 0o644, 0, []byte("moraine:x:65532:\n")},
		{"tmp/", 0o1777, 0, nil}, {"var/", 0o755, 0, nil}, {"var/lib/", 0o755, 0, nil}, {"var/lib/moraine/", 0o700, owner, nil},
	} {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.uid, Gid: f.uid, Size: int64(len(f.text)), Typeflag: tar.TypeReg}
		if f.text == nil {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unpack reads the image back from the layout, checks it, and writes its files
// below root.
func unpack(dir, root string) error {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	if err := validate.Index(index); err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	r := mutate.Extract(image)
	defer r.Close()
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = put(filepath.Join(root, filepath.Clean("/"+h.Name)), h, files)
		}
		if err != nil {
			return err
		}
	}
	// What a container engine goes by, for whoever runs the image without one.
	fmt.Printf("user=%s\nhealth=%s\nrun=%s\n", config.Config.User,
		strings.Join(config.Config.Healthcheck.Test[1:], " "), strings.Join(append(config.Config.Entrypoint, config.Config.Cmd...), " "))
	for _, e := range config.Config.Env {
		fmt.Println("env=" + e)
	}
	return nil
}

func put(name string, h *tar.Header, r io.Reader) error {
	mode := os.FileMode(h.Mode & 0o777)
	if h.Mode&0o1000 != 0 {
		mode |= os.ModeSticky
	}
	if h.Typeflag == tar.TypeDir {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return err
		}
	} else {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return errors.Join(os.Chmod(name, mode), os.Chown(name, h.Uid, h.Gid))
}
