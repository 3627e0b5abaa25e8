package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tollbar"
)

// client is a connection whose bytes the test chooses.
type client struct {
	net.Conn
	t    *testing.T
	from *bufio.Reader
}

func dial(t *testing.T, server *intake) *client {
	t.Helper()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	connection.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{connection, t, bufio.NewReader(connection)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer is the next answer's status, and whether the connection is to be closed.
func (c *client) answer() (status int, closes bool) {
	c.t.Helper()
	response, err := http.ReadResponse(c.from, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, response.Close
}

func head(credential, more string) string {
	return "POST /intake/v2/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + credential + "\r\n" + more + "\r\n"
}

func chunk(data string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

func TestARefusedClientIsToldAtOnceAndHeardOut(t *testing.T) {
	c := dial(t, start(t))
	for range 3 {
		c.send(head("wrong", "Transfer-Encoding: chunked\r\n") + chunk(lines3))
		// It has not sent all, and is told all the same.
		if status, closes := c.answer(); status != 401 || closes {
			t.Fatalf("%d, to be closed: %v", status, closes)
		}
		for range 20 {
			c.send(chunk(strings.Repeat("x", 200_000)))
		}
		c.send("0\r\n\r\n" + head(token, fmt.Sprintf("Content-Length: %d\r\n", len(lines3))) + lines3)
		if status, closes := c.answer(); status != 202 || closes {
			t.Fatalf("%d, to be closed: %v", status, closes)
		}
	}
}

func TestARefusedClientThatSendsWithoutEndIsHungUpOn(t *testing.T) {
	c := dial(t, start(t))
	c.send(head("wrong", "Content-Length: 1000000000000\r\n"))
	if status, _ := c.answer(); status != 401 {
		t.Fatal(status)
	}
	sent := 0
	for piece := make([]byte, 1<<20); ; {
		n, err := c.Write(piece)
		if sent += n; err != nil {
			break
		}
		if sent > 2*maxUploadBytes {
			t.Fatalf("%d bytes were heard", sent)
		}
	}
	if sent < maxUploadBytes/2 {
		t.Errorf("only %d bytes were heard", sent)
	}
}

func TestWhoAsksBeforeItSendsNeedNotSend(t *testing.T) {
	c := dial(t, start(t))
	c.send(head("wrong", fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", len(lines3))))
	if status, closes := c.answer(); status != 401 || !closes {
		t.Errorf("%d, to be closed: %v", status, closes)
	}
	if _, err := c.from.ReadByte(); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
}

func TestPagesOfOtherOriginsAreTurnedAway(t *testing.T) {
	server := start(t)
	if err := server.engine.ReloadYAML(config + "apm-server.rum: {allow_origins: ['https://*.shop.example'], allow_headers: [X-Trace]}\n"); err != nil {
		t.Fatal(err)
	}
	const path, kind = "/intake/v2/rum/events", "application/x-ndjson"
	for origin, expected := range map[string]int{"https://www.shop.example": 202, "https://evil.example": 403, "": 403} {
		status, answer, header := post(t, server.URL+path, kind, "", lines3, "Origin", origin)
		shown := header.Get("Access-Control-Allow-Origin")
		if status != expected || header.Get("Vary") != "Origin" || (shown != "") != (status == 202) {
			t.Errorf("%q: %d %s, %v", origin, status, answer, header)
		}
		if says := "forbidden request: origin: '" + origin + "' is not allowed"; status == 403 && !strings.Contains(answer, says) {
			t.Errorf("%q: %s", origin, answer)
		}
	}
	// Before anything else is looked at: nothing was charged.
	if left := server.engine.AdmitAddr(tollbar.ParsePeer("127.0.0.1"), 27); !left.Allowed() {
		t.Errorf("after one request and two events of 30: %v", left.Err())
	}
	r, _ := http.NewRequest(http.MethodOptions, server.URL+path, nil)
	r.Header.Set("Origin", "https://evil.example")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get("Access-Control-Allow-Origin") != "" || !strings.HasSuffix(response.Header.Get("Access-Control-Allow-Headers"), "If-None-Match, X-Trace") {
		t.Errorf("a preflight: %d %v", response.StatusCode, response.Header)
	}
}
