// Package entry is what the gates do alike: whose socket it is, and the checks that need no body.
package entry

import (
	"context"
	"net/netip"

	"tollbar"
)

// Local is whom a Unix socket's peer counts as: this machine.
var Local = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Peer is the address of a socket's peer as a server reports it; of a Unix socket, [Local].
func Peer(address string) netip.Addr {
	if addr := tollbar.ParsePeer(address); addr.IsValid() {
		return addr
	}
	return Local
}

// Rule is what a route or a method asks for, as the gates' own rules say.
type Rule struct {
	Action tollbar.Action
	RUM    bool
	Cost   uint64
	Free   bool
}

// Enter identifies the client and checks, in this order: the credential (an API key is waited for), the charge, whether RUM routes are
// open, authorization. resource finds the agent and the service; nil: they are not known yet, so only what is never anonymous is
// authorized.
//
// The error is a [*tollbar.Refusal], [tollbar.ErrClosed], or the context's.
func Enter(ctx context.Context, engine *tollbar.Engine, request tollbar.Request, rule Rule, resource func() tollbar.Resource) (tollbar.Client, error) {
	client, err := engine.Verify(ctx, request)
	if err != nil {
		return client, err
	}
	if err := client.Identified().Err(); err != nil {
		return client, err
	}
	if !rule.Free {
		if err := client.Admit(max(rule.Cost, 1)).Err(); err != nil {
			return client, err
		}
	}
	if rule.RUM {
		if err := client.RUMRoute().Err(); err != nil {
			return client, err
		}
	}
	switch {
	case resource != nil:
		found := resource()
		return client, client.Authorize(rule.Action, found).ErrFor(found)
	case rule.Action == tollbar.Sourcemap:
		return client, client.Authorize(rule.Action, tollbar.Resource{}).Err()
	}
	return client, nil
}
