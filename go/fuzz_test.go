package tollbar

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

// The address of a peer against net/netip: what netip reads as an address, with or without a port, is read as the same here.
func FuzzParsePeer(f *testing.F) {
	for _, seed := range []string{"203.0.113.9", "203.0.113.9:8200", "[2001:db8::1]:8200", "2001:db8::1", "fe80::1%eth0", "[fe80::1%eth0]:80",
		"::ffff:1.2.3.4", "::ffff:102:304", "", "unknown", "1.2.3", "01.2.3.4", "1.2.3.4:99999", "[::1]", "\x00", "1.2.3.4:", "::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, peer string) {
		found := ParsePeer(peer)
		expected, err := netip.ParseAddr(peer)
		if err != nil {
			var withPort netip.AddrPort
			withPort, err = netip.ParseAddrPort(peer)
			expected = withPort.Addr()
		}
		if strings.ContainsAny(expected.Zone(), " \t\r\n\v\f") {
			return // netip takes any text for a zone; none that a server writes has a space in it
		}
		if err == nil && found != expected.WithZone("") && found != expected.WithZone("").Unmap() {
			t.Errorf("%q is %v, net/netip says %v", peer, found, expected)
		}
		if found.IsValid() && ParsePeer(found.String()) != found {
			t.Errorf("%q is %v, which is read otherwise", peer, found)
		}
	})
}

// X-Forwarded-For behind a trusted proxy, against a reference that is written with net/netip and net/http.
func FuzzClientIP(f *testing.F) {
	for _, seed := range []string{"192.0.2.1", "192.0.2.1, 10.0.0.2", "10.0.0.3,10.0.0.2", "192.0.2.1,unknown", "2001:db8::7", " 192.0.2.1 ,, 10.0.0.1",
		"[2001:db8::7]:443", "192.0.2.1:80", "::ffff:192.0.2.1", "\"192.0.2.1\"", "192.0.2.1\t", "10.0.0.9", ""} {
		f.Add(seed)
	}
	engine, err := Parse("tollbar: {trusted_proxies: [10.0.0.0/8], ipv6_prefix: 128}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		header := http.Header{}
		header.Set("X-Forwarded-For", value)
		decision := engine.Check(Request{Peer: netip.MustParseAddr("10.0.0.1"), Headers: header}, Question{})
		if !decision.Allowed || !decision.Client().IsValid() {
			t.Fatalf("%q: no client: %+v", value, decision)
		}
		expected, sure := forwardedFor(value)
		if sure && decision.Client().Addr() != expected {
			t.Errorf("%q: the client is %v, the reference says %v", value, decision.Client(), expected)
		}
		batch := make([]Decision, 1)
		engine.CheckBatch([]Query{{Request{Peer: netip.MustParseAddr("10.0.0.1"), Headers: header}, Question{}}}, batch)
		if batch[0].Client() != decision.Client() {
			t.Errorf("%q: the client is %v, but %v in a batch", value, decision.Client(), batch[0].Client())
		}
	})
}

// forwardedFor walks from the right over trusted hops. It is sure only of lists of plain addresses: what else is in use in the wild has
// no reference in Go's library, and is what the conformance vectors are for.
func forwardedFor(value string) (netip.Addr, bool) {
	trusted := netip.MustParsePrefix("10.0.0.0/8")
	client := netip.MustParseAddr("10.0.0.1")
	hops := strings.Split(value, ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.Trim(hops[i], " \t")
		if hop == "" {
			continue
		}
		addr, err := netip.ParseAddr(hop)
		if err != nil || addr.Zone() != "" {
			return netip.Addr{}, false
		}
		client = addr.Unmap()
		if !trusted.Contains(client) {
			break
		}
	}
	return client, true
}

// Authorization headers against net/http, which reads "Basic" of the same shape, and encoding/base64.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"", "Bearer correct-horse-battery-staple", "bearer correct-horse-battery-staple", "Bearer  x", "ApiKey aWQ6a2V5", "ApiKey aWQ6a2V5Cg==",
		"Basic aWQ6a2V5", "Bearer", "ApiKey ", "ApiKey %%%", "apikey aWQ6a2V5\n", "Bearer\tx", "\xff\x00 y", " Bearer x"} {
		f.Add(seed)
	}
	engine, err := Parse(shop + "    api_key.enabled: true\n")
	if err != nil {
		f.Fatal(err)
	}
	if err := engine.SetVerifier(func(string, []byte) (Privileges, error) { return EventWrite, nil }); err != nil {
		f.Fatal(err)
	}
	const scheme = "apikey "
	f.Fuzz(func(t *testing.T, header string) {
		request := Request{Peer: stranger, Authorization: header}
		decision := engine.Check(request, Question{Resource: browser, Peek: true})
		credential := ""
		if len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme) {
			credential = header[len(scheme):]
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(credential)
		id, key, found := strings.Cut(string(raw), ":")
		// Ids are text: one that is not UTF-8 is none.
		plain := err == nil && found && id != "" && utf8.ValidString(id) && key != "" && len(raw) < 256 && !strings.ContainsAny(credential, "\r\n")
		switch {
		case decision.Allowed && decision.Method == MethodSecretToken:
			_, token, _ := strings.Cut(header, " ")
			if strings.Trim(token, " \t") != "correct-horse-battery-staple" {
				t.Errorf("%q is let in as the secret token", header)
			}
		case decision.Allowed && decision.Method == MethodAnonymous:
			if _, _, basic := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth(); basic || plain {
				t.Errorf("%q presents a credential, but is anonymous", header)
			}
		case decision.Reason == ReasonInvalidAPIKey && plain:
			t.Errorf("%q is no API key here, but encoding/base64 reads it", header)
		}
		if message := decision.Message(browser); !quiet(message) {
			t.Errorf("%q: the message has the secret: %s", header, message)
		}
	})
}
