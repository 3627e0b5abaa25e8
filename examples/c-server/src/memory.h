// How much memory clients may make the server hold at once, all of them together: whole bodies, and what JSON and
// protobuf become when they are parsed, which can be many times their size.
//
// Invariant: `memory_taken` never exceeds `MEMORY_LIMIT`; a parser that wants more is told that memory has run out, and
// its request is answered 503.
#ifndef C_SERVER_MEMORY_H
#define C_SERVER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define MEMORY_LIMIT ((size_t)256 * 1024 * 1024)

bool memory_take(size_t bytes);
void memory_give(size_t bytes);

// malloc and free that are counted.
void *memory_alloc(size_t size);
void memory_free(void *pointer);

#endif
