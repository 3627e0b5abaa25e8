// A growing run of bytes.
//
// Invariants: a buffer that is all zeros is an empty one; `data` is owned, and null only while nothing was ever put in.
// When memory runs out nothing is appended, `failed` is set, and stays set until `buffer_clear`: callers check once,
// after the last append.
#ifndef C_SERVER_BUFFER_H
#define C_SERVER_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data;
    size_t size;
    size_t room;
    bool failed;
};

void buffer_append(struct buffer *buffer, const void *data, size_t size);
void buffer_text(struct buffer *buffer, const char *text);

// Empties it, keeps its memory.
void buffer_clear(struct buffer *buffer);

void buffer_free(struct buffer *buffer);

#endif
