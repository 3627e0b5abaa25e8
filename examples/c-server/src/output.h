// Accepted events, written as ndjson: one line an event.
//
// Invariants: lines are ASCII, so that nobody finds another line end in them. A batch is written whole and in one
// piece, or not at all as far as its client is told; `output_write` returns after the bytes have been handed to the
// operating system. After a write that failed half-way, the next one starts on a line of its own. Thread-safe.
#ifndef C_SERVER_OUTPUT_H
#define C_SERVER_OUTPUT_H

#include "buffer.h"
#include "gate.h"
#include "refusal.h"
#include <jansson.h>
#include <pthread.h>

struct output {
    int descriptor;
    bool torn;
    pthread_mutex_t mutex;
};

// Opens a file for appending, or standard output for "-". Returns 0 or an errno.
int output_open(struct output *output, const char *target);
bool output_write(struct output *output, const struct buffer *lines, struct refusal *refusal);
void output_close(struct output *output);

// Appends the part of each line that is the same for all events of one stream or resource, `{"client":…`, without its
// closing brace. False: memory ran out.
bool output_origin(struct buffer *head, const struct guest *guest, const char *protocol, json_t *agent,
                   json_t *service);

// Appends the line of one event. False: memory ran out.
bool output_event(struct buffer *lines, const struct buffer *head, const char *type, json_t *event);

#endif
