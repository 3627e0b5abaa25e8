package tollbar

// #include "shim.h"
import "C"

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// ErrClosed is what calls say on an engine that was closed.
var ErrClosed = errors.New("tollbar: the engine is closed")

// Engine decides who gets in. Make one and share it.
//
// Close may run beside any other call: it only marks the engine, and its memory is given back once nothing can reach it any more.
type Engine struct {
	// The handle; nil once closed: C refuses it then.
	c unsafe.Pointer

	mu       sync.Mutex
	watcher  *C.tollbar_watcher
	watching runtime.Cleanup
}

// Open makes an engine with the configuration of a file in the shape of apm-server.yml. The error is a [*ConfigError].
func Open(path string) (*Engine, error) {
	return made(path, func(file C.tollbar_str, engine **C.tollbar_engine, report *C.tollbar_error) C.tollbar_status {
		return C.tollbar_engine_from_file(file, engine, report)
	})
}

// Parse makes an engine with a configuration as YAML. The error is a [*ConfigError].
func Parse(yaml string) (*Engine, error) {
	return made(yaml, func(yaml C.tollbar_str, engine **C.tollbar_engine, report *C.tollbar_error) C.tollbar_status {
		return C.tollbar_engine_from_yaml(yaml, engine, report)
	})
}

// New makes an engine with a configuration that the program builds. The error is a [*ConfigError].
func New(config Config) (*Engine, error) {
	var memory arena
	defer memory.free()
	c := config.c(&memory)
	return made("", func(_ C.tollbar_str, engine **C.tollbar_engine, report *C.tollbar_error) C.tollbar_status {
		return C.tollbar_engine_from_config(c, engine, report)
	})
}

func made(argument string, make func(C.tollbar_str, **C.tollbar_engine, *C.tollbar_error) C.tollbar_status) (*Engine, error) {
	data, n := text(argument)
	defer C.free(unsafe.Pointer(data))
	var handle *C.tollbar_engine
	err := reported(func(report *C.tollbar_error) C.tollbar_status {
		return make(C.tollbar_str{data: data, len: n}, &handle, report)
	})
	if err != nil {
		return nil, err
	}
	engine := &Engine{c: unsafe.Pointer(handle)}
	// Not in Close: another goroutine may be in the midst of a call then. A call holds its engine by runtime.KeepAlive.
	runtime.AddCleanup(engine, func(handle *C.tollbar_engine) { C.tollbar_engine_free(handle) }, handle)
	return engine, nil
}

func (e *Engine) handle() *C.tollbar_engine { return (*C.tollbar_engine)(atomic.LoadPointer(&e.c)) }

// Close stops the watcher and refuses every call from now on. Calls under way end as if there had been none.
func (e *Engine) Close() error {
	e.StopWatching()
	atomic.StorePointer(&e.c, nil)
	return nil
}

// Reload reads the configuration's file again. Live counters are kept: nobody is refilled, and changed limits hold at once. With a
// [*ConfigError], the configuration before stays in force.
func (e *Engine) Reload() error { return e.reload(C.tollbar_str{}, fromFile) }

// ReloadFile is Reload from another file.
func (e *Engine) ReloadFile(path string) error {
	data, n := text(path)
	defer C.free(unsafe.Pointer(data))
	return e.reload(C.tollbar_str{data: data, len: n}, fromFile)
}

// ReloadYAML is Reload with a configuration as YAML.
func (e *Engine) ReloadYAML(yaml string) error {
	data, n := text(yaml)
	defer C.free(unsafe.Pointer(data))
	return e.reload(C.tollbar_str{data: data, len: n}, func(engine *C.tollbar_engine, yaml C.tollbar_str, report *C.tollbar_error) C.tollbar_status {
		return C.tollbar_reload_yaml(engine, yaml, nil, report)
	})
}

// ReloadConfig is Reload with a configuration that the program builds.
func (e *Engine) ReloadConfig(config Config) error {
	var memory arena
	defer memory.free()
	c := config.c(&memory)
	return e.reload(C.tollbar_str{}, func(engine *C.tollbar_engine, _ C.tollbar_str, report *C.tollbar_error) C.tollbar_status {
		return C.tollbar_reload_config(engine, c, nil, report)
	})
}

func fromFile(engine *C.tollbar_engine, path C.tollbar_str, report *C.tollbar_error) C.tollbar_status {
	return C.tollbar_reload_file(engine, path, nil, report)
}

func (e *Engine) reload(argument C.tollbar_str, reload func(*C.tollbar_engine, C.tollbar_str, *C.tollbar_error) C.tollbar_status) error {
	defer runtime.KeepAlive(e)
	handle := e.handle()
	if handle == nil {
		return ErrClosed
	}
	return reported(func(report *C.tollbar_error) C.tollbar_status { return reload(handle, argument, report) })
}

// WatchOptions is how files are watched. Zero stands for the default.
type WatchOptions struct {
	// Debounce is how long the files must be quiet before they are read. Default 100 ms.
	Debounce time.Duration
	// Poll is how often the files are looked at even though nothing was reported, as on network file systems. Default 10 s; negative: never.
	Poll time.Duration
}

// Watch reloads whenever a file of the configuration changes, until StopWatching or Close. A configuration that is wrong, or that would
// switch all authentication off, is refused; see [Engine.Reloads]. Watching already, it does nothing.
func (e *Engine) Watch(options WatchOptions) error {
	defer runtime.KeepAlive(e)
	e.mu.Lock()
	defer e.mu.Unlock()
	handle := e.handle()
	if handle == nil {
		return ErrClosed
	}
	if e.watcher != nil {
		return nil
	}
	c := C.tollbar_watch_options{size: C.sizeof_tollbar_watch_options, debounce_ns: 100e6, poll_ns: 10e9}
	if options.Debounce > 0 {
		c.debounce_ns = C.uint64_t(options.Debounce)
	}
	if options.Poll != 0 {
		c.poll_ns = C.uint64_t(max(options.Poll, 0))
	}
	var watcher *C.tollbar_watcher
	err := reported(func(report *C.tollbar_error) C.tollbar_status {
		return C.tollbar_watch_start(handle, &c, &watcher, report)
	})
	if err != nil {
		return err
	}
	e.watcher = watcher
	// For engines that are let go while they watch.
	e.watching = runtime.AddCleanup(e, func(watcher *C.tollbar_watcher) { C.tollbar_watch_stop(watcher) }, watcher)
	return nil
}

// StopWatching ends Watch; it waits for a reload that is under way.
func (e *Engine) StopWatching() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watcher == nil {
		return
	}
	e.watching.Stop()
	C.tollbar_watch_stop(e.watcher)
	e.watcher = nil
}

// VerificationTimeout is how long a verification of an API key may take: apm-server.auth.api_key.elasticsearch.timeout.
func (e *Engine) VerificationTimeout() time.Duration {
	defer runtime.KeepAlive(e)
	return duration(uint64(C.tollbar_engine_verification_timeout(e.handle())))
}
