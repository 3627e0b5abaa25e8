// An answer while it is being made: status, fields, body.
//
// Invariant: a reply that is all zeros is no answer yet; one that has been made has a status, even when memory ran out
// (then 500, without a body). No answer is guessed to be another type by a browser.
#ifndef C_SERVER_REPLY_H
#define C_SERVER_REPLY_H

#include "refusal.h"
#include <jansson.h>
#include <microhttpd.h>

#define REPLY_FIELDS 12

struct reply {
    unsigned status;
    const char *type; // a literal
    char *body;       // owned
    size_t size;
    struct {
        const char *name; // a literal
        char *value;      // owned
    } fields[REPLY_FIELDS];
};

void reply_empty(struct reply *reply, unsigned status);

// Takes over `document`.
void reply_json(struct reply *reply, unsigned status, json_t *document);

// Takes over `body`, which was made by malloc; null: memory ran out.
void reply_bytes(struct reply *reply, unsigned status, const char *type, void *body, size_t size);

// A refusal as APM Server writes it, `{"error": …}`, with the fields that go with it.
void reply_refusal(struct reply *reply, const struct refusal *refusal);

// The fields that tell a client what to do about a refusal.
void reply_refusal_fields(struct reply *reply, const struct refusal *refusal);

// Sets a field; one of this name that was there is replaced.
void reply_field(struct reply *reply, const char *name, const char *value);

enum MHD_Result reply_send(struct reply *reply, struct MHD_Connection *connection);
void reply_free(struct reply *reply);

#endif
