package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode"
)

const (
	maxEventBytes = 300 << 10
	// A body that inflates by more than maxRatio is refused once it has passed ratioFree bytes.
	maxRatio, ratioFree = 250, 4 << 20
	shownBytes          = 256
)

// wire is the body as it comes: each read has idleTimeout, and the bytes are counted.
type wire struct {
	r       *http.Request
	control *http.ResponseController
	taken   int64
}

func (w *wire) Read(p []byte) (int, error) {
	// A server that can't set a deadline (a test's) waits without one.
	_ = w.control.SetReadDeadline(time.Now().Add(idleTimeout))
	n, err := w.r.Body.Read(p)
	w.taken += int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fail(http.StatusRequestTimeout, "request timed out: nothing was sent for %v", idleTimeout)
	}
	return n, err
}

// inflated bounds what a small body may become, and lets nothing follow it.
type inflated struct {
	io.Reader
	rest  *bufio.Reader
	from  *wire
	given int64
}

func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.Reader.Read(p)
	i.given += int64(n)
	if i.given > max(ratioFree, i.from.taken*maxRatio) {
		return 0, fail(http.StatusRequestEntityTooLarge, "the body inflates to more than %d times its size; accepted is less", maxRatio)
	}
	if err == io.EOF {
		// Readers of deflate stop at the end of their stream, and say nothing of what comes behind it.
		if _, more := i.rest.Peek(1); more != io.EOF {
			if err = more; more == nil {
				err = errors.New("something follows its end")
			}
		}
	}
	var known *failure
	if err != nil && err != io.EOF && !errors.As(err, &known) {
		err = fail(http.StatusBadRequest, "the body is damaged: %v", err)
	}
	return n, err
}

// body is the request's body, decoded by its Content-Encoding, or without one by its first bytes, as APM Server does.
func body(w http.ResponseWriter, r *http.Request) (io.Reader, error) {
	from := &wire{r: r, control: http.NewResponseController(w)}
	start := bufio.NewReaderSize(from, 16<<10)
	magic, err := start.Peek(2)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(magic) == 0 {
		return start, nil // nothing was sent, whatever it is encoded in
	}
	isGzip := bytes.Equal(magic, []byte{0x1f, 0x8b})
	isZlib := len(magic) == 2 && magic[0]&0x0f == 8 && (int(magic[0])<<8|int(magic[1]))%31 == 0
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	switch encoding {
	case "", "identity", "deflate", "gzip", "x-gzip":
	default:
		return nil, fail(http.StatusUnsupportedMediaType, "unsupported content encoding %.40q; accepted are gzip, deflate and identity", encoding)
	}
	var decoded io.Reader
	switch {
	case strings.HasSuffix(encoding, "gzip"), encoding != "deflate" && isGzip:
		decoded, err = gzip.NewReader(start)
	case isZlib:
		decoded, err = zlib.NewReader(start)
	case encoding == "deflate":
		decoded = flate.NewReader(start)
	default:
		return start, nil
	}
	if err != nil {
		return nil, fail(http.StatusBadRequest, "the body is damaged: %v", err)
	}
	return &inflated{Reader: decoded, rest: start, from: from}, nil
}

// whole is the body in memory.
func whole(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	from, err := body(w, r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fail(http.StatusRequestEntityTooLarge, "request body too large: accepted are up to %d bytes, decompressed", limit)
	}
	return data, nil
}

// lines cuts a body into lines. One beyond the limit is dropped as it comes in; only its beginning is kept.
type lines struct{ from *bufio.Reader }

func newLines(from io.Reader) *lines { return &lines{bufio.NewReaderSize(from, 64<<10)} }

// waits is whether the next line may have to be waited for: all of one, and not only its beginning, must have come.
func (l *lines) waits() bool {
	come, _ := l.from.Peek(l.from.Buffered())
	return bytes.IndexByte(bytes.TrimLeftFunc(come, unicode.IsSpace), '\n') < 0
}

// next is the next line that is not blank; io.EOF after the last.
func (l *lines) next() (line []byte, tooLong bool, err error) {
	for {
		line, tooLong = line[:0], false
		for {
			piece, err := l.from.ReadSlice('\n')
			if !tooLong {
				line = append(line, piece...)
			}
			if len(bytes.TrimSuffix(line, []byte{'\n'})) > maxEventBytes {
				line, tooLong = line[:shownBytes], true
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			if err != nil && (err != io.EOF || len(bytes.TrimSpace(line)) == 0) {
				return nil, false, err
			}
			break
		}
		if line = bytes.TrimSpace(line); len(line) != 0 {
			return line, tooLong, nil
		}
	}
}
