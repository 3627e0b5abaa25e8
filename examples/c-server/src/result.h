// What has become of a stream: the errors so far, and the answer.
//
// Invariant: the highest status wins; an error that ends the stream is always shown.
#ifndef C_SERVER_RESULT_H
#define C_SERVER_RESULT_H

#include "reply.h"

struct result {
    unsigned status; // 0: no error
    json_t *errors;
    struct reply fields; // those that go with the refusals
};

void result_add(struct result *result, const struct refusal *refusal, bool ends_stream);

// Makes the answer. Its body is left out if all is well and nobody asked for it.
void result_reply(struct result *result, size_t accepted, bool verbose, struct reply *reply);
void result_free(struct result *result);

#endif
