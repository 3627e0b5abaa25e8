// The events of one stream that wait to be admitted together, at most `BATCH_LINES` lines.
//
// Invariants: nothing is written before it was authorized and admitted; a batch is written whole. Together with its
// line, a batch holds no more than twice `LINES_MAX_BYTES` of input.
#ifndef C_SERVER_BATCH_H
#define C_SERVER_BATCH_H

#include "event.h"
#include "gate.h"
#include "output.h"

#define BATCH_LINES 10

struct batch {
    const struct guest *guest;
    struct output *output;
    struct buffer head;              // see output.h; empty: the metadata has not come yet
    json_t *agent, *service;         // the stream's names
    json_t *allowed[BATCH_LINES];    // names that events override them with and that were allowed: [agent, service]
    struct buffer lines;             // what is to be written
    size_t line_count;               // how many lines of the client's that is
    size_t line_ends[BATCH_LINES];   // where in `lines` the events of each end
    size_t line_events[BATCH_LINES]; // and how many those are
    size_t accepted;                 // events in all that were written
};

// Whether the stream's metadata has been read, and was authorized.
bool batch_open(const struct batch *batch);
bool batch_begin(struct batch *batch, const struct event *metadata, struct refusal *refusal);

// Authorizes and gathers the events of a line. A refusal that was not decided by Tollbar, of status 400, is the event's
// alone.
bool batch_add(struct batch *batch, struct event *event, struct refusal *refusal);
bool batch_full(const struct batch *batch);

// Admits and writes what was gathered. On failure it is thrown away, and the stream ends.
bool batch_flush(struct batch *batch, struct refusal *refusal);
void batch_free(struct batch *batch);

#endif
