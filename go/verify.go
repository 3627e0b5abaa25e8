package tollbar

// #include "shim.h"
import "C"

import (
	"context"
	"runtime"
	"runtime/cgo"
	"time"
	"unsafe"
)

// Verify is [Engine.Authenticate] that waits while an API key is verified. No thread of the operating system is blocked meanwhile: the
// engine's own do the waiting, and call back. It waits until the context ends, but no longer than the configuration allows
// ([Engine.VerificationTimeout]) and a little more; the client is still pending then, which is 503 to it. The error is the context's.
// The verification goes on without it, so that the verdict is there next time.
func (e *Engine) Verify(ctx context.Context, request Request) (Client, error) {
	client := e.Authenticate(request)
	if !client.Pending() {
		return client, nil
	}
	// For one answer, so that the callback never waits.
	answer := make(chan identity, 1)
	handle := cgo.NewHandle(answer)
	var origin C.tbg_origin
	request.tell(&origin)
	status := C.tbg_verify(e.handle(), origin, C.uintptr_t(handle))
	if status != C.TOLLBAR_STATUS_OK {
		handle.Delete()
		return client, nil
	}
	timer := time.NewTimer(e.VerificationTimeout() + verdictGrace)
	defer timer.Stop()
	select {
	case client.opaque = <-answer:
	case <-timer.C:
	case <-ctx.Done():
		return client, ctx.Err()
	}
	runtime.KeepAlive(e)
	return client, nil
}

// verdictGrace: the verifier gives up by itself at the configured time; so much later nobody waits for it any more.
const verdictGrace = 250 * time.Millisecond

//export tbg_verified
func tbg_verified(userdata unsafe.Pointer, client *C.tollbar_client) {
	handle := cgo.Handle(uintptr(userdata))
	answer := handle.Value().(chan identity)
	handle.Delete()
	answer <- *(*identity)(unsafe.Pointer(client))
}

// Verifier verifies an API key: id stands before the colon of the credential, the secret key after it. key is overwritten after the call.
// No privilege: the key is not valid, 401. An error: it can't be said now, 503, and nothing is kept; its text goes nowhere.
type Verifier func(id string, key []byte) (Privileges, error)

// SetVerifier has API keys that are not local verified by a function instead of Elasticsearch; nil: by Elasticsearch again. All verdicts are
// dropped. Reloads leave it in place. API keys must be enabled in the configuration all the same.
//
// It is called in threads of the engine's, several at once but never twice at once for one key. It may block, and should return
// within [Engine.VerificationTimeout]. A panic counts as an error.
func (e *Engine) SetVerifier(verifier Verifier) error {
	defer runtime.KeepAlive(e)
	handle := e.handle()
	if handle == nil {
		return ErrClosed
	}
	var token C.uintptr_t
	if verifier != nil {
		token = C.uintptr_t(cgo.NewHandle(verifier))
	}
	// C frees the token in any case, by tbg_free_verifier.
	return reported(func(report *C.tollbar_error) C.tollbar_status {
		return C.tbg_set_verifier(handle, token, report)
	})
}

//export tbg_verifier
func tbg_verifier(userdata unsafe.Pointer, id, key C.tollbar_str, privileges *C.uint32_t) (verdict C.tollbar_verdict) {
	verdict = C.TOLLBAR_VERDICT_UNAVAILABLE
	defer func() {
		if recover() != nil {
			verdict = C.TOLLBAR_VERDICT_UNAVAILABLE
		}
	}()
	verifier := cgo.Handle(uintptr(userdata)).Value().(Verifier)
	secret := C.GoBytes(unsafe.Pointer(key.data), C.int(key.len))
	defer clear(secret)
	found, err := verifier(C.GoStringN(id.data, C.int(id.len)), secret)
	switch {
	case err != nil:
		return C.TOLLBAR_VERDICT_UNAVAILABLE
	case found == 0:
		return C.TOLLBAR_VERDICT_INVALID
	}
	*privileges = C.uint32_t(found)
	return C.TOLLBAR_VERDICT_VALID
}

//export tbg_free_verifier
func tbg_free_verifier(userdata unsafe.Pointer) { cgo.Handle(uintptr(userdata)).Delete() }
