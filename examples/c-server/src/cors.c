#include "cors.h"

void cors_preflight(struct reply *reply) {
    reply_empty(reply, MHD_HTTP_OK);
    reply_field(reply, "Access-Control-Allow-Methods", "POST, OPTIONS");
    reply_field(reply, "Access-Control-Allow-Headers", "Content-Type, Content-Encoding, Accept, If-None-Match");
    reply_field(reply, "Access-Control-Max-Age", "3600");
}

void cors_allow(struct reply *reply, const char *origin) {
    reply_field(reply, MHD_HTTP_HEADER_VARY, "Origin");
    if (origin && origin[0]) {
        reply_field(reply, "Access-Control-Allow-Origin", origin);
        reply_field(reply, "Access-Control-Expose-Headers", "Etag, Retry-After");
    }
}
