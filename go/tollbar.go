// Package tollbar decides, for each request to a telemetry intake server, whether the client is authenticated, whether an anonymous client is
// allowed, and whether its IP address has room left. It takes its rules from the configuration of Elastic's APM Server.
//
// It is a binding of the engine that all languages share; every rule lives there. [Engine.Check] decides a whole request. A server
// that reads streams asks in steps: [Engine.Authenticate], then [Client.Authorize] each stream and [Client.Admit] each batch before
// any of its events is accepted.
//
// What holds for every function:
//
//   - Any goroutine may call any method at any time, [Engine.Close] included.
//   - No decision allocates, blocks, or copies a string, but for the texts of [Engine.CheckBatch].
//   - A [Decision] is a plain value; [Decision.Err] turns a refusal into an error that errors.Is and errors.As understand.
//   - Nothing is allowed where no decision could be made: after Close, for instance.
//
// See the module's README for how the C library is found and how to ship a single static binary.
package tollbar

// #cgo noescape tbg_admit_ips
// #cgo nocallback tbg_admit_ips
// #cgo noescape tbg_check_batch
// #cgo nocallback tbg_check_batch
// #cgo noescape tbg_message
// #cgo nocallback tbg_message
// #cgo noescape tbg_allows_origin
// #cgo nocallback tbg_allows_origin
// #cgo noescape tbg_ip_parse
// #cgo nocallback tbg_ip_parse
// #cgo noescape tbg_nothing
// #cgo nocallback tbg_nothing
// #cgo noescape tollbar_decision_remaining
// #cgo nocallback tollbar_decision_remaining
// #cgo noescape tollbar_decision_burst
// #cgo nocallback tollbar_decision_burst
// #cgo noescape tollbar_decision_www_authenticate
// #cgo nocallback tollbar_decision_www_authenticate
// #include "shim.h"
import "C"

import (
	"encoding/binary"
	"net/netip"
	"unsafe"
)

// Version is the version of the engine's library, such as "0.1.0".
func Version() string { return C.GoString(C.tollbar_version()) }

// HasFeature says whether the library can do this: "elasticsearch", "watch", "prometheus".
func HasFeature(name string) bool {
	data, n := text(name)
	defer C.free(unsafe.Pointer(data))
	return bool(C.tollbar_has_feature(C.tollbar_str{data: data, len: n}))
}

// ParsePeer is the address of a peer as servers write it: 203.0.113.9, 203.0.113.9:8200, [2001:db8::1]:8200, fe80::1%eth0. Port and zone
// are dropped. The zero Addr: the text is none. It does not allocate.
func ParsePeer(peer string) netip.Addr {
	data, n := borrowed(peer)
	var ip C.tollbar_ip
	if C.tbg_ip_parse(data, n, &ip) != C.TOLLBAR_STATUS_OK {
		return netip.Addr{}
	}
	bytes := *(*[16]byte)(unsafe.Pointer(&ip.bytes))
	if ip.family == 4 {
		return netip.AddrFrom4([4]byte(bytes[:4]))
	}
	return netip.AddrFrom16(bytes)
}

// empty is what a text points to that is empty but there: C tells the two apart by the pointer.
var empty [1]byte

// borrowed is a string as C sees it, without a copy. It must be reachable until the call has returned.
func borrowed(s string) (*C.char, C.size_t) {
	if len(s) == 0 {
		return (*C.char)(unsafe.Pointer(&empty[0])), 0
	}
	return optional(s)
}

// optional is the same; an empty string is none.
func optional(s string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

// text is a copy in C's memory, to be freed: for calls where C is to hold pointers.
func text(s string) (*C.char, C.size_t) { return C.CString(s), C.size_t(len(s)) }

// words is an address as C wants it: IPv4 as ::ffff:a.b.c.d.
func words(addr netip.Addr) (high, low C.uint64_t) {
	if addr.Is4() {
		// Four bytes come out of As4 in one piece; the 16 of As16 are stored in two, and have to be waited for.
		bytes := addr.As4()
		return 0, 0xffff_0000_0000 | C.uint64_t(binary.BigEndian.Uint32(bytes[:]))
	}
	bytes := addr.As16()
	return C.uint64_t(binary.BigEndian.Uint64(bytes[:8])), C.uint64_t(binary.BigEndian.Uint64(bytes[8:]))
}
