package tollbar

// #include "shim.h"
import "C"

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"
	"unsafe"
)

// Stats are statistics. Counters are totals since the engine was made, unless they say otherwise.
type Stats struct {
	// Generation is the number of the configuration in force: 1 at start, one more at each reload.
	Generation uint64
	// ReloadErrors are reloads that were refused; the configuration before stayed in force.
	ReloadErrors uint64
	// Allowed are decisions that allowed. Every answer counts: a request, an authorization, a batch.
	Allowed map[Method]uint64
	// Refused are decisions that refused.
	Refused map[Reason]uint64
	// RefusalsNotRecorded came too fast for [Engine.RecentRefusals]. They are counted in Refused all the same.
	RefusalsNotRecorded uint64
	// IPLimit is how many clients can have a counter of their own.
	IPLimit uint64
	// LiveCounters are those whose client could not send a full burst at this moment.
	LiveCounters uint64
	// ClaimedCounters is how often a counter got a new owner, DisplacedClients how often that displaced a client whose counter was live: if
	// this grows, IPLimit is too small or somebody is flooding. Both start anew when IPLimit changes.
	ClaimedCounters, DisplacedClients uint64
	// VerificationsStarted are of API keys; VerificationsUnavailable came to no verdict; VerificationsOverBudget were not started, since
	// the client guesses.
	VerificationsStarted, VerificationsUnavailable, VerificationsOverBudget uint64
	// ValidKeysHeld and InvalidKeysHeld are verdicts in store.
	ValidKeysHeld, InvalidKeysHeld uint64
	// VerificationError is why the last verification that came to no verdict did not. It holds no secret.
	VerificationError string
}

// Stats are the statistics of this moment. It reads the whole counter table: milliseconds for a million counters.
func (e *Engine) Stats() Stats {
	c := C.tollbar_stats{size: C.sizeof_tollbar_stats}
	C.tollbar_engine_stats(e.handle(), nil, &c)
	stats := Stats{
		Generation:               uint64(c.generation),
		ReloadErrors:             uint64(c.reload_errors),
		Allowed:                  map[Method]uint64{},
		Refused:                  map[Reason]uint64{},
		RefusalsNotRecorded:      uint64(c.refusals_not_recorded),
		IPLimit:                  uint64(c.ip_limit),
		LiveCounters:             uint64(c.live_counters),
		ClaimedCounters:          uint64(c.claimed_counters),
		DisplacedClients:         uint64(c.displaced_clients),
		VerificationsStarted:     uint64(c.verifications_started),
		VerificationsUnavailable: uint64(c.verifications_unavailable),
		VerificationsOverBudget:  uint64(c.verifications_over_budget),
		ValidKeysHeld:            uint64(c.valid_keys_held),
		InvalidKeysHeld:          uint64(c.invalid_keys_held),
		VerificationError: e.told(func(engine *C.tollbar_engine, buffer *C.char, capacity C.size_t) C.size_t {
			return C.tollbar_engine_verification_error(engine, buffer, capacity)
		}),
	}
	for method, n := range c.allowed {
		if n != 0 {
			stats.Allowed[Method(method)] = uint64(n)
		}
	}
	for reason, n := range c.refused {
		if n != 0 {
			stats.Refused[Reason(reason)] = uint64(n)
		}
	}
	return stats
}

// Prometheus is the statistics as a page for Prometheus, of content type "text/plain; version=0.0.4".
func (e *Engine) Prometheus() string {
	return e.told(func(engine *C.tollbar_engine, buffer *C.char, capacity C.size_t) C.size_t {
		return C.tollbar_engine_prometheus(engine, buffer, capacity)
	})
}

// Warnings are what works in the configuration in force but deserves a word: deprecated keys, keys without effect.
func (e *Engine) Warnings() []string {
	return lines(e.told(func(engine *C.tollbar_engine, buffer *C.char, capacity C.size_t) C.size_t {
		return C.tollbar_engine_warnings(engine, buffer, capacity)
	}))
}

// Files are what the configuration in force was read from.
func (e *Engine) Files() []string {
	return lines(e.told(func(engine *C.tollbar_engine, buffer *C.char, capacity C.size_t) C.size_t {
		return C.tollbar_engine_files(engine, buffer, capacity)
	}))
}

// ReloadRecord is one reload that was tried.
type ReloadRecord struct {
	// Time is when.
	Time time.Time
	// Generation is the number of the configuration in force afterwards.
	Generation uint64
	// Taken is whether it was taken. If so, Changed are the keys that changed; if not, Problems are what was wrong, and ProblemCount how many.
	Taken        bool
	Changed      []string
	ProblemCount int
	Problems     []Problem
}

// Reloads are the last 32 reloads, oldest first. Keys of secrets are named, never their values.
func (e *Engine) Reloads() ([]ReloadRecord, error) {
	document := e.told(func(engine *C.tollbar_engine, buffer *C.char, capacity C.size_t) C.size_t {
		return C.tollbar_engine_reloads_json(engine, buffer, capacity)
	})
	if document == "" {
		return nil, ErrClosed
	}
	var raw []struct {
		TimeUnixNs   int64     `json:"time_unix_ns"`
		Generation   uint64    `json:"generation"`
		Taken        bool      `json:"taken"`
		Changed      []string  `json:"changed"`
		ProblemCount int       `json:"problem_count"`
		Problems     []Problem `json:"problems"`
	}
	if err := json.Unmarshal([]byte(document), &raw); err != nil {
		return nil, fmt.Errorf("tollbar: the reloads can't be read: %w", err)
	}
	records := make([]ReloadRecord, len(raw))
	for i, r := range raw {
		records[i] = ReloadRecord{time.Unix(0, r.TimeUnixNs), r.Generation, r.Taken, r.Changed, r.ProblemCount, r.Problems}
	}
	return records, nil
}

// RecentRefusal is a request, a stream or a batch that was refused. Names are what the client sent, at most 64 bytes of each: escape them where
// that matters.
type RecentRefusal struct {
	// Time is when, by the system's clock.
	Time time.Time
	// Generation is the number of the configuration under which this was decided.
	Generation uint64
	// Client is whom the rate limit counts.
	Client netip.Prefix
	// Reason is why.
	Reason Reason
	// Method is how the client was identified.
	Method Method
	// Action is what it wanted to do.
	Action Action
	// Agent and Service are as far as they were known.
	Agent, Service string
	// CredentialID is the id of the API key that was presented, never its secret. If the key was not valid, it is what the client claims.
	CredentialID string
}

// RecentRefusals are the last 64 refusals of each reason, oldest first. Of a flood, what is beyond 32 a second is left out.
func (e *Engine) RecentRefusals() []RecentRefusal {
	defer runtime.KeepAlive(e)
	raw := make([]C.tollbar_refusal, C.TOLLBAR_REFUSALS)
	raw[0].size = C.sizeof_tollbar_refusal
	var n C.size_t
	if C.tollbar_engine_refusals(e.handle(), &raw[0], C.size_t(len(raw)), &n, nil) != C.TOLLBAR_STATUS_OK {
		return nil
	}
	refusals := make([]RecentRefusal, n)
	for i := range refusals {
		r := &raw[i]
		reason := Reason(r.reason)
		refusals[i] = RecentRefusal{
			Time:         time.Unix(0, int64(r.time_unix_ns)),
			Generation:   uint64(r.generation),
			Client:       clientPrefix(*(*[16]byte)(unsafe.Pointer(&r.client)), uint8(r.client_prefix), reason),
			Reason:       reason,
			Method:       Method(r.method),
			Action:       Action(r.action),
			Agent:        name(&r.agent),
			Service:      name(&r.service),
			CredentialID: name(&r.credential_id),
		}
	}
	return refusals
}

func name(name *C.tollbar_name) string { return C.GoStringN(&name.data[0], C.int(name.len)) }

// told is a text of any length. It may grow between the two calls, so there is some room to spare.
func (e *Engine) told(tell func(*C.tollbar_engine, *C.char, C.size_t) C.size_t) string {
	defer runtime.KeepAlive(e)
	for room := 8192; ; {
		buffer := make([]byte, room)
		n := int(tell(e.handle(), (*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(room)))
		if n < room {
			return string(buffer[:n])
		}
		room = n + n/4 + 1
	}
}

func lines(text string) []string {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
