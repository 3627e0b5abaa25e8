package tollbar

// #include "shim.h"
import "C"

import (
	"runtime"
	"strings"
)

// AllowsOrigin is whether a page of this origin may send to the RUM routes: apm-server.rum.allow_origins. It is the value of the header
// Origin; empty: there is none, which only * allows.
//
// It protects no server, since who is not a browser can claim any origin: it keeps foreign pages from using visitors of theirs.
func (e *Engine) AllowsOrigin(origin string) bool {
	data, n := optional(origin)
	allowed := C.tbg_allows_origin(e.handle(), data, n)
	runtime.KeepAlive(e)
	return bool(allowed)
}

// AllowHeaders are the headers that pages may send to the RUM routes besides those that RUM agents do: apm-server.rum.allow_headers.
func (e *Engine) AllowHeaders() []string {
	headers := e.told(func(engine *C.tollbar_engine, buffer *C.char, capacity C.size_t) C.size_t {
		return C.tollbar_engine_allow_headers(engine, buffer, capacity)
	})
	if headers == "" {
		return nil
	}
	return strings.Split(headers, ", ")
}
