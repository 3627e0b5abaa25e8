package tollbar

// #include "shim.h"
import "C"

import (
	"net/netip"
	"time"
	"unsafe"
)

// Switch is a setting that has a default of its own.
type Switch uint8

// What a Switch may be.
const (
	// Default is as documented for the setting.
	Default Switch = C.TOLLBAR_SWITCH_DEFAULT
	// On is on.
	On Switch = C.TOLLBAR_SWITCH_ON
	// Off is off.
	Off Switch = C.TOLLBAR_SWITCH_OFF
)

// TLSCheck is what is checked of Elasticsearch's certificate.
type TLSCheck uint8

// What may be checked.
const (
	// TLSFull is chain and host name.
	TLSFull TLSCheck = C.TOLLBAR_TLS_CHECK_FULL
	// TLSStrict is the same; a certificate without a subject alternative name is an error.
	TLSStrict TLSCheck = C.TOLLBAR_TLS_CHECK_STRICT
	// TLSCertificate is the chain, not the host name.
	TLSCertificate TLSCheck = C.TOLLBAR_TLS_CHECK_CERTIFICATE
	// TLSNone is nothing: for tests only.
	TLSNone TLSCheck = C.TOLLBAR_TLS_CHECK_NONE
)

// Privileges are what an API key may do, added up.
type Privileges uint32

// What an API key may be allowed.
const (
	// ConfigAgentRead is config_agent:read.
	ConfigAgentRead Privileges = C.TOLLBAR_PRIVILEGE_CONFIG_AGENT_READ
	// EventWrite is event:write.
	EventWrite Privileges = C.TOLLBAR_PRIVILEGE_EVENT_WRITE
	// SourcemapWrite is sourcemap:write.
	SourcemapWrite Privileges = C.TOLLBAR_PRIVILEGE_SOURCEMAP_WRITE
)

// PEM is certificates or a key: from a file, or as text.
type PEM struct{ File, Text string }

// LocalKey is an API key that is verified locally. Hash is what `tollbar keygen --api-key` printed for it.
type LocalKey struct {
	ID, Hash   string
	Privileges Privileges
}

// Elasticsearch is where API keys are verified that are not local.
type Elasticsearch struct {
	// Hosts are full URLs with port. None: API keys are not verified there.
	Hosts []string
	// Timeout is how long a verification may take. Default 5 s.
	Timeout time.Duration
	// TLS is on by default for hosts whose URL is https.
	TLS      Switch
	TLSCheck TLSCheck
	// Authorities are whose certificates are trusted. None: the system's.
	Authorities []PEM
	// Certificate and Key are the client's own.
	Certificate, Key PEM
}

// Config is a configuration that the program builds. Zero stands for the default in every field; the zero Config has no
// authentication, and RUM off. docs/guide/configuration.md has every key.
type Config struct {
	// SecretTokens: every one is valid.
	SecretTokens []string
	// APIKeys: accept API keys.
	APIKeys bool
	// APIKeyLimit is how many valid keys the cache of verdicts holds. Default 100.
	APIKeyLimit uint32
	// LocalKeys are verified here.
	LocalKeys []LocalKey
	// Elasticsearch verifies the others.
	Elasticsearch Elasticsearch
	// Anonymous lets clients in that carry no credential. Default: on if RUM is on and some authentication is configured.
	Anonymous Switch
	// AllowAgent are the agents that are let in. None: rum-js and js-base, or all with AnyAgent.
	AllowAgent []string
	AnyAgent   bool
	// AllowService are the services that are let in. None: all.
	AllowService []string
	// IPLimit is how many clients have a counter of their own. Default 1000.
	IPLimit uint32
	// EventLimit is events a second for each. Default 300.
	EventLimit uint32
	// BurstMultiplier: burst = EventLimit times this. Default 3.
	BurstMultiplier uint32
	// RUM opens the RUM routes.
	RUM bool
	// RUMAllowOrigins are origins whose pages may send to the RUM routes; * stands for any text. None: all; that no page may send, only YAML can say.
	RUMAllowOrigins []string
	// RUMAllowHeaders are headers that pages may send besides those that agents do.
	RUMAllowHeaders []string
	// TrustedProxies are whose forwarding headers are believed.
	TrustedProxies []netip.Prefix
	// IPv6Prefix: IPv6 clients are counted per prefix of this length. Default 64.
	IPv6Prefix uint8
}

func (c *Config) c(memory *arena) *C.tollbar_config {
	config := alloc[C.tollbar_config](memory, 1)
	config.size = C.sizeof_tollbar_config
	config.secret_tokens, config.secret_tokens_len = memory.list(c.SecretTokens)
	config.allow_agent, config.allow_agent_len = memory.list(c.AllowAgent)
	config.allow_service, config.allow_service_len = memory.list(c.AllowService)
	config.rum_allow_origins, config.rum_allow_origins_len = memory.list(c.RUMAllowOrigins)
	config.rum_allow_headers, config.rum_allow_headers_len = memory.list(c.RUMAllowHeaders)
	if n := len(c.TrustedProxies); n != 0 {
		config.trusted_proxies, config.trusted_proxies_len = alloc[C.tollbar_network](memory, n), C.size_t(n)
		networks := unsafe.Slice(config.trusted_proxies, n)
		for i, prefix := range c.TrustedProxies {
			networks[i] = network(prefix)
		}
	}
	if n := len(c.LocalKeys); n != 0 {
		config.api_keys, config.api_keys_len = alloc[C.tollbar_local_key](memory, n), C.size_t(n)
		keys := unsafe.Slice(config.api_keys, n)
		for i, key := range c.LocalKeys {
			keys[i] = C.tollbar_local_key{id: memory.str(key.ID), hash: memory.str(key.Hash), privileges: C.uint32_t(key.Privileges)}
		}
	}
	es := &c.Elasticsearch
	config.elasticsearch_hosts, config.elasticsearch_hosts_len = memory.list(es.Hosts)
	if n := len(es.Authorities); n != 0 {
		config.elasticsearch_authorities, config.elasticsearch_authorities_len = alloc[C.tollbar_pem](memory, n), C.size_t(n)
		authorities := unsafe.Slice(config.elasticsearch_authorities, n)
		for i, pem := range es.Authorities {
			authorities[i] = memory.pem(pem)
		}
	}
	config.elasticsearch_certificate = memory.pem(es.Certificate)
	config.elasticsearch_key = memory.pem(es.Key)
	config.elasticsearch_timeout_ns = C.uint64_t(max(es.Timeout, 0))
	config.elasticsearch_ssl = C.tollbar_switch(es.TLS)
	config.elasticsearch_tls_check = C.tollbar_tls_check(es.TLSCheck)
	config.ip_limit = C.uint32_t(c.IPLimit)
	config.event_limit = C.uint32_t(c.EventLimit)
	config.burst_multiplier = C.uint32_t(c.BurstMultiplier)
	config.api_key_limit = C.uint32_t(c.APIKeyLimit)
	config.ipv6_prefix = C.uint8_t(c.IPv6Prefix)
	config.anonymous = C.tollbar_switch(c.Anonymous)
	config.any_agent = C.bool(c.AnyAgent)
	config.rum_enabled = C.bool(c.RUM)
	config.api_key_enabled = C.bool(c.APIKeys)
	return config
}

// network is a network as C has it; one that is none is left zero, which C refuses.
func network(prefix netip.Prefix) (n C.tollbar_network) {
	if !prefix.IsValid() {
		return n
	}
	n.prefix = C.uint8_t(prefix.Bits())
	bytes := prefix.Addr().AsSlice()
	for i, b := range bytes {
		n.ip.bytes[i] = C.uint8_t(b)
	}
	n.ip.family = 6
	if prefix.Addr().Is4() {
		n.ip.family = 4
	}
	return n
}

// arena is memory of C's that is freed at once. What stood in it may be secret, so it is overwritten.
type arena struct{ blocks []block }

type block struct {
	data unsafe.Pointer
	size int
}

// alloc is room for n zeroed values.
func alloc[T any](memory *arena, n int) *T {
	var zero T
	size := max(n*int(unsafe.Sizeof(zero)), 1)
	data := C.calloc(1, C.size_t(size))
	memory.blocks = append(memory.blocks, block{data, size})
	return (*T)(data)
}

func (a *arena) str(s string) C.tollbar_str {
	if s == "" {
		return C.tollbar_str{}
	}
	data := alloc[byte](a, len(s))
	copy(unsafe.Slice(data, len(s)), s)
	return C.tollbar_str{data: (*C.char)(unsafe.Pointer(data)), len: C.size_t(len(s))}
}

func (a *arena) list(texts []string) (*C.tollbar_str, C.size_t) {
	if len(texts) == 0 {
		return nil, 0
	}
	data := alloc[C.tollbar_str](a, len(texts))
	list := unsafe.Slice(data, len(texts))
	for i, text := range texts {
		list[i] = a.str(text)
		if text == "" {
			// There, but empty.
			list[i].data = (*C.char)(unsafe.Pointer(alloc[byte](a, 1)))
		}
	}
	return data, C.size_t(len(texts))
}

func (a *arena) pem(pem PEM) C.tollbar_pem {
	return C.tollbar_pem{file: a.str(pem.File), text: a.str(pem.Text)}
}

func (a *arena) free() {
	for _, block := range a.blocks {
		clear(unsafe.Slice((*byte)(block.data), block.size))
		C.free(block.data)
	}
	a.blocks = nil
}
