#include "reply.h"

#include <stdlib.h>
#include <string.h>

static void replace_body(struct reply *reply, unsigned status, const char *type, char *body, size_t size)
{
    free(reply->body);
    reply->status = status;
    reply->type = type;
    reply->body = body;
    reply->size = size;
}

void reply_empty(struct reply *reply, unsigned status)
{
    replace_body(reply, status, NULL, NULL, 0);
}

void reply_bytes(struct reply *reply, unsigned status, const char *type, void *body, size_t size)
{
    if (body) {
        replace_body(reply, status, type, body, size);
    } else {
        reply_empty(reply, 500);
    }
}

void reply_json(struct reply *reply, unsigned status, json_t *document)
{
    // json_dumps's memory is counted (see memory.h), a reply's is not.
    size_t size = document ? json_dumpb(document, NULL, 0, JSON_COMPACT) : 0;
    char *body = size ? malloc(size + 1) : NULL;
    if (body) {
        json_dumpb(document, body, size, JSON_COMPACT);
        body[size] = '\n';
    }
    json_decref(document);
    reply_bytes(reply, status, "application/json", body, size + 1);
}

void reply_refusal_fields(struct reply *reply, const struct refusal *refusal)
{
    if (refusal->www_authenticate[0]) {
        reply_field(reply, MHD_HTTP_HEADER_WWW_AUTHENTICATE, refusal->www_authenticate);
    }
    if (refusal->retry_after[0]) {
        reply_field(reply, MHD_HTTP_HEADER_RETRY_AFTER, refusal->retry_after);
    }
}

void reply_refusal(struct reply *reply, const struct refusal *refusal)
{
    reply_json(reply, refusal->status, json_pack("{s:s}", "error", refusal->message));
    reply_refusal_fields(reply, refusal);
}

void reply_field(struct reply *reply, const char *name, const char *value)
{
    for (size_t i = 0; i < REPLY_FIELDS; i++) {
        if (!reply->fields[i].name || strcmp(reply->fields[i].name, name) == 0) {
            free(reply->fields[i].value);
            reply->fields[i].name = name;
            reply->fields[i].value = strdup(value);
            return;
        }
    }
}

enum MHD_Result reply_send(struct reply *reply, struct MHD_Connection *connection)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(reply->size, reply->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        return MHD_NO;
    }
    reply->body = NULL; // the response's from now on
    // A field with a character that no field may have is left out by the library.
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (reply->type) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    }
    for (size_t i = 0; i < REPLY_FIELDS && reply->fields[i].name; i++) {
        if (reply->fields[i].value) {
            MHD_add_response_header(response, reply->fields[i].name, reply->fields[i].value);
        }
    }
    enum MHD_Result queued = MHD_queue_response(connection, reply->status, response);
    MHD_destroy_response(response);
    return queued;
}

void reply_free(struct reply *reply)
{
    free(reply->body);
    for (size_t i = 0; i < REPLY_FIELDS; i++) {
        free(reply->fields[i].value);
    }
    *reply = (struct reply){0};
}
