// From a request to Tollbar, and from a decision to a refusal: the one place that knows both.
//
// Invariants: credentials and client addresses are judged by Tollbar alone; the headers are passed on unread. Every
// refusal reaches the client as the decision has it: status, `WWW-Authenticate`, `Retry-After`. What can't be decided
// is refused.
#ifndef C_SERVER_GATE_H
#define C_SERVER_GATE_H

#include "refusal.h"
#include <jansson.h>
#include <microhttpd.h>
#include <tollbar.h>

#define SECOND_NS UINT64_C(1000000000)

// How long a batch may wait for room before it is refused.
#define GATE_MAX_WAIT_NS SECOND_NS

// The client of a request, as Tollbar knows it.
struct guest {
    const tollbar_engine *engine;
    tollbar_client client;
    tollbar_decision decision; // of the authentication
};

// Asks who this is, and waits while an API key is verified: this thread serves one connection only, so it may. False:
// there is no knowing (a defect); a client that is refused is known.
bool gate_identify(struct guest *guest, const tollbar_engine *engine, struct MHD_Connection *connection,
                   struct refusal *refusal);

// Checks what needs no body, in this order: the credential, one event's charge, is the RUM route open.
bool gate_enter(struct guest *guest, const tollbar_engine *engine, struct MHD_Connection *connection, bool rum,
                struct refusal *refusal);

// May the client do this for this agent and service? Strings, or null where they are not known.
bool gate_authorize(const struct guest *guest, tollbar_action action, json_t *agent, json_t *service,
                    struct refusal *refusal);

// Charges a batch before any event of it is accepted, and sleeps until it has room, but no longer than `patience_ns`,
// of which it takes what it slept.
bool gate_make_room(const struct guest *guest, size_t events, uint64_t *patience_ns, struct refusal *refusal);

// Whether the authentication allows anything at all.
bool gate_authenticated(const struct guest *guest, struct refusal *refusal);

bool gate_anonymous(const struct guest *guest);

#endif
