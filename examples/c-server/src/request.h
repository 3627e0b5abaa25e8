// One request on its way through the server, and the routes that requests take.
//
// The gate (gate.h) has let a request in before its route sees it. A route sees the body as it comes, decoded, and
// makes the one answer: at the end of the body or before. What comes of the body after the answer was made is dropped.
#ifndef C_SERVER_REQUEST_H
#define C_SERVER_REQUEST_H

#include "body.h"
#include "gate.h"
#include "output.h"
#include "reply.h"

struct request {
    const tollbar_engine *engine;
    struct output *output;
    struct MHD_Connection *connection;
    const struct route *route;
    struct guest guest;
    struct body body;
    struct reply reply; // status 0: there is no answer yet
    void *state;        // the route's own; null until `begin` has made it
    size_t dropped;
    bool post;
};

struct route {
    const char *path;
    bool get, post; // the methods that are accepted
    bool rum;       // open only while RUM is, and to pages of other origins
    bool open;      // no gate: the route itself asks who this is

    // Before the body. May be null, as may all but `end` and `fail`.
    void (*begin)(struct request *request);
    // A piece of the body; its context is the request.
    body_sink *take;
    // All that has come so far was taken; the client is waited for next.
    bool (*pause)(struct request *request, struct refusal *refusal);
    // The body was complete.
    void (*end)(struct request *request);
    // The request is refused: by the gate (then `state` is null), for its body, or by `take` and `pause`.
    void (*fail)(struct request *request, const struct refusal *refusal);
    void (*release)(struct request *request);
    const void *about; // for routes that share their functions
};

extern const struct route ROUTES[];
extern const size_t ROUTE_COUNT;

// A field of the request's head, or null.
const char *request_field(const struct request *request, const char *name);

#endif
