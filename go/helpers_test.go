package tollbar

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// parse makes an engine that is closed when the test ends.
func parse(t testing.TB, yaml string) *Engine {
	t.Helper()
	engine, err := Parse(yaml)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

// limited is a configuration in which anonymous clients need no name.
func limited(ipLimit, eventLimit, multiplier int) string {
	return fmt.Sprintf(`
apm-server:
  auth:
    secret_token: correct-horse-battery-staple
    anonymous: {enabled: true, allow_agent: [], rate_limit: {ip_limit: %d, event_limit: %d}}
tollbar.burst_multiplier: %d
`, ipLimit, eventLimit, multiplier)
}

// shop is the configuration of the README.
const shop = `
apm-server:
  auth:
    secret_token: correct-horse-battery-staple
    anonymous: {enabled: true, allow_service: [shop]}
`

var (
	stranger = netip.MustParseAddr("203.0.113.9")
	browser  = Resource{Agent: "rum-js", Service: "shop"}
)

// address is a distinct IPv4 address for each number.
func address(i int) netip.Addr {
	u := uint32(10<<24) + uint32(i)
	return netip.AddrFrom4([4]byte{byte(u >> 24), byte(u >> 16), byte(u >> 8), byte(u)})
}

func quiet(text string) bool { return !strings.Contains(text, "correct-horse") }
