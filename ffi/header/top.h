/*
 * Tollbar: decides, for each request to a telemetry intake server and in nanoseconds, whether the client is authenticated, whether an
 * anonymous client is allowed, and whether its IP has room left.
 *
 * Made by cbindgen from ffi/src; don't edit it: `make header`.
 *
 * ## A complete example
 *
 * @EXAMPLE@
 *
 * Build it: cc example.c $(pkg-config --cflags --libs tollbar)
 *
 * ## What holds for every function
 *
 * Ownership. What you pass in is borrowed for the duration of the call, and what you get is yours: structs and buffers are
 * your own memory, and the library keeps no pointer to them. Handles (tollbar_engine, tollbar_verification, tollbar_watcher) are freed
 * with the one function that is named where they are made. Everything else is a plain value that needs no free, a tollbar_client
 * among them. A `const char *` that is returned is static.
 *
 * Threads. Every function may be called from any thread at any time on the same engine, but for those that free. Structs are not
 * locked: don't share one that is written. The library has no global state, and starts no thread of its own but for
 * tollbar_start_verification(), tollbar_verify_async() and tollbar_watch_start().
 *
 * Errors. A function that can fail returns a tollbar_status, which says whether there is an answer; the answer itself is in the
 * struct. Where no decision could be made, the decision says so and allows nothing, so a server that looks at `allowed` alone is safe.
 * NULL, misaligned pointers, sizes that are too small, lengths that no memory has, text that is not UTF-8, and numbers that stand
 * for nothing have a status of their own, and never crash. What no library can check is up to you: that memory is there, that it is not
 * changed meanwhile, and that a handle was not freed. A panic inside never leaves the library: it is TOLLBAR_STATUS_PANIC.
 *
 * Sizes. Structs that may grow begin with their `size`: start each from its TOLLBAR_..._INIT. A program that was compiled
 * with an older header goes on working with a newer library of the same TOLLBAR_ABI_VERSION, and the other way round as long as it
 * uses nothing new.
 *
 * Text. A tollbar_str is a pointer and a length; it needs no NUL at its end. Functions that write text take a buffer and its capacity, write a
 * NUL in any case, and return the length that the whole text has without it, as snprintf() does: if that is not less
 * than the capacity, it was cut (never within a character). A NULL buffer of capacity 0 is fine.
 *
 * Time. Everything is in nanoseconds. `now_ns` points to the time of a monotonic clock of yours, for replays and tests; NULL is the
 * library's own clock. Don't mix the two on one engine.
 */
