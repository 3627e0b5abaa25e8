#include "cors.h"

#include <stdio.h>
#include <stdlib.h>

#define AGENT_HEADERS "Content-Type, Content-Encoding, Accept, If-None-Match"

static bool allows(const tollbar_engine *engine, const char *origin)
{
    return tollbar_engine_allows_origin(engine, tollbar_str_of(origin));
}

// What agents send, and what the configuration adds. Null: memory ran out.
static char *accepted_headers(const tollbar_engine *engine)
{
    size_t more = tollbar_engine_allow_headers(engine, NULL, 0);
    size_t capacity = sizeof AGENT_HEADERS + 2 + more;
    char *headers = malloc(capacity);
    if (headers) {
        int used = snprintf(headers, capacity, "%s%s", AGENT_HEADERS, more ? ", " : "");
        // A reload in between may make it longer: then it is cut, and the next preflight has it all.
        tollbar_engine_allow_headers(engine, headers + used, capacity - (size_t)used);
    }
    return headers;
}

void cors_preflight(struct reply *reply, const tollbar_engine *engine)
{
    char *headers = accepted_headers(engine);
    reply_empty(reply, MHD_HTTP_OK);
    reply_field(reply, "Access-Control-Allow-Methods", "POST, OPTIONS");
    reply_field(reply, "Access-Control-Allow-Headers", headers ? headers : AGENT_HEADERS);
    reply_field(reply, "Access-Control-Max-Age", "3600");
    free(headers);
}

bool cors_enter(const tollbar_engine *engine, const char *origin, struct refusal *refusal)
{
    if (allows(engine, origin)) {
        return true;
    }
    refuse(refusal, MHD_HTTP_FORBIDDEN, "forbidden request: origin: '%.100s' is not allowed", origin ? origin : "");
    return false;
}

void cors_allow(struct reply *reply, const tollbar_engine *engine, const char *origin)
{
    reply_field(reply, MHD_HTTP_HEADER_VARY, "Origin");
    if (origin && origin[0] && allows(engine, origin)) {
        reply_field(reply, "Access-Control-Allow-Origin", origin);
        reply_field(reply, "Access-Control-Expose-Headers", "Etag, Retry-After");
    }
}
