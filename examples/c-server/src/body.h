// A request's body: decompressed step by step as it comes in, and told apart by Content-Encoding or, without one, by
// its first bytes.
//
// Invariants: at most `BODY_STEP` decompressed bytes exist at a time; a body that inflates by more than
// `BODY_MAX_RATIO` is refused once it has passed `BODY_RATIO_FREE` bytes. A compressed body that doesn't come to its
// proper end is an error, not a short body.
#ifndef C_SERVER_BODY_H
#define C_SERVER_BODY_H

#include "buffer.h"
#include "refusal.h"
#include <stdint.h>
#include <zlib.h>

#define BODY_STEP ((size_t)64 * 1024)
#define BODY_MAX_RATIO 250 // telemetry compresses to a tenth or a fiftieth; DEFLATE at its limit reaches one in 1,032
#define BODY_RATIO_FREE ((uint64_t)4 * 1024 * 1024)

// Where decoded bytes go. Returns false and fills the refusal if no more are wanted.
typedef bool body_sink(void *context, const char *data, size_t size, struct refusal *refusal);

struct body {
    enum { BODY_UNDECIDED, BODY_IDENTITY, BODY_GZIP, BODY_DEFLATE } kind;
    bool inflating; // `inflater` is to be ended
    bool ended;     // the compressed stream has come to its end
    z_stream inflater;
    uint64_t taken;
    uint64_t given;
    unsigned char head[2];
    size_t head_size;
    char encoding[41];
};

// `encoding` is the value of Content-Encoding, or null.
void body_open(struct body *body, const char *encoding);
bool body_feed(struct body *body, const char *data, size_t size, body_sink *sink, void *context,
               struct refusal *refusal);
bool body_finish(struct body *body, body_sink *sink, void *context, struct refusal *refusal);
void body_close(struct body *body);

// A whole body in memory, counted (memory.h).
struct whole_body {
    struct buffer buffer;
    size_t counted;
    size_t limit;
};

body_sink whole_body_append; // its context is a `struct whole_body *`
void whole_body_free(struct whole_body *whole);

#endif
