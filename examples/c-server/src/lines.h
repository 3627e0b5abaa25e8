// Cuts a body into lines.
//
// Invariants: at most `LINES_MAX_BYTES` of a line are held; of a longer one only the beginning is kept, and its sink is
// told. Blank lines are passed over.
#ifndef C_SERVER_LINES_H
#define C_SERVER_LINES_H

#include "body.h"

// The largest event (one line) that is accepted, in bytes without its newline.
#define LINES_MAX_BYTES ((size_t)300 * 1024)

// Takes one line. Returns false and fills the refusal to end the stream.
typedef bool line_sink(void *context, const char *line, size_t size, bool too_long, struct refusal *refusal);

struct lines {
    struct buffer partial;
    bool too_long;
    line_sink *sink;
    void *context;
};

body_sink lines_feed; // its context is a `struct lines *`
bool lines_finish(struct lines *lines, struct refusal *refusal);
void lines_free(struct lines *lines);

#endif
