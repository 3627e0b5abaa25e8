package tollbar

// #include "shim.h"
import "C"

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// What a refusal is, for errors.Is.
var (
	// ErrUnauthenticated is 401: no credential, or a wrong one.
	ErrUnauthenticated = errors.New("tollbar: unauthenticated")
	// ErrForbidden is 403: the client is known, but may not do this.
	ErrForbidden = errors.New("tollbar: forbidden")
	// ErrRateLimited is 429: there is no room now, or never is for as many events at once.
	ErrRateLimited = errors.New("tollbar: rate limited")
	// ErrUnavailable is 503: the credential cannot be verified now.
	ErrUnavailable = errors.New("tollbar: unavailable")
)

// Refusal is a decision that refuses, as an error.
type Refusal struct {
	// Decision is what was decided.
	Decision Decision
	message  string
}

// Error is a sentence that may be shown to the client: it holds no secret.
func (r *Refusal) Error() string { return r.message }

// Is says whether it is one of [ErrUnauthenticated], [ErrForbidden], [ErrRateLimited] and [ErrUnavailable].
func (r *Refusal) Is(target error) bool { return target == kind(r.Decision.HTTPStatus) }

func kind(status uint16) error {
	switch status {
	case 401:
		return ErrUnauthenticated
	case 403:
		return ErrForbidden
	case 429:
		return ErrRateLimited
	}
	return ErrUnavailable
}

// RateLimitError is a refusal for lack of room. It is a [*Refusal] as well.
type RateLimitError struct {
	Refusal
	// RetryAfter is how long to wait until the batch would fit, exact, or [Never].
	RetryAfter time.Duration
}

// Unwrap is the refusal, for errors.As.
func (r *RateLimitError) Unwrap() error { return &r.Refusal }

// Err is nil if the decision allows. If not, it is a [*Refusal] or a [*RateLimitError], or [ErrClosed].
func (d Decision) Err() error { return d.ErrFor(Resource{}) }

// ErrFor is Err, whose text names the agent or the service that is not permitted: those that were asked about.
func (d Decision) ErrFor(resource Resource) error {
	if d.Allowed {
		return nil
	}
	if d.status == C.TOLLBAR_STATUS_NULL_ARGUMENT {
		return ErrClosed
	}
	return refused(d, d.Message(resource))
}

func refused(decision Decision, message string) error {
	if message == "" {
		message = "no decision was made"
	}
	refusal := Refusal{decision, message}
	if decision.HTTPStatus == 429 {
		return &RateLimitError{refusal, decision.RetryAfter()}
	}
	return &refusal
}

// ConfigError says all that is wrong with a configuration.
type ConfigError struct {
	// Problems are what is wrong, at most 1000. There may be none, if the system refused: then the text says why.
	Problems []Problem
	message  string
}

// Error is a line for each problem: file, line, column, key, what was found and what is accepted. No secret is ever part of it.
func (e *ConfigError) Error() string { return "tollbar: " + e.message }

// Problem is one thing that is wrong with a configuration. What is not known is empty or 0.
type Problem struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Key      string `json:"key"`
	Found    string `json:"found"`
	Accepted string `json:"accepted"`
	Hint     string `json:"hint"`
}

// reported calls C with room for what goes wrong. Twice at most: the second time with as much room as the first one asked for.
func reported(call func(*C.tollbar_error) C.tollbar_status) error {
	const room = 1 << 20
	buffer := (*C.char)(C.malloc(room))
	defer C.free(unsafe.Pointer(buffer))
	report := (*C.tollbar_error)(C.calloc(1, C.sizeof_tollbar_error))
	defer C.free(unsafe.Pointer(report))
	report.size = C.sizeof_tollbar_error
	report.text, report.text_capacity = buffer, room/2
	report.json, report.json_capacity = (*C.char)(unsafe.Add(unsafe.Pointer(buffer), room/2)), room/2
	status := call(report)
	if status == C.TOLLBAR_STATUS_OK {
		return nil
	}
	message := C.GoString(report.text)
	if message == "" {
		message = C.GoString(C.tollbar_status_str(status))
	}
	if status != C.TOLLBAR_STATUS_CONFIG {
		return fmt.Errorf("tollbar: %s", strings.TrimSpace(message))
	}
	document := struct {
		Problems []Problem `json:"problems"`
	}{}
	if report.json_len < report.json_capacity {
		if err := json.Unmarshal([]byte(C.GoString(report.json)), &document); err != nil {
			return fmt.Errorf("tollbar: %s (and its details can't be read: %w)", message, err)
		}
	}
	return &ConfigError{document.Problems, strings.TrimSpace(message)}
}
