package entry

import (
	"net/netip"
	"testing"
)

func TestWhoseSocketItIs(t *testing.T) {
	for address, peer := range map[string]string{
		"203.0.113.9:8200":    "203.0.113.9",
		"[2001:db8::1]:8200":  "2001:db8::1",
		"[fe80::1%eth0]:8200": "fe80::1",
		"":                    "127.0.0.1", // what net/http says of a Unix socket's peer
		"@":                   "127.0.0.1",
	} {
		if found := Peer(address); found != netip.MustParseAddr(peer) {
			t.Errorf("%q is %v", address, found)
		}
	}
}
