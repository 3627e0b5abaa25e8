#include "config.h"

#include <stdlib.h>
#include <string.h>

static const size_t MAX_QUERY_BYTES = 64 * 1024;

void config_begin(struct request *request)
{
    struct whole_body *whole = calloc(1, sizeof *whole);
    if (!whole) {
        reply_empty(&request->reply, 500);
        return;
    }
    whole->limit = MAX_QUERY_BYTES;
    request->state = whole;
}

bool config_take(void *context, const char *data, size_t size, struct refusal *refusal)
{
    struct request *request = context;
    return whole_body_append(request->state, data, size, refusal);
}

// The name that a query asks for, to be freed by json_decref.
static json_t *name_of_query(const struct request *request, struct refusal *refusal)
{
    const char *text = NULL;
    size_t size = 0;
    MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, "service.name", strlen("service.name"),
                                  &text, &size);
    json_t *name = text && size > 0 ? json_stringn(text, size) : NULL;
    if (!name) {
        refuse(refusal, 400, text && size > 0 ? "service.name must be UTF-8" : "service.name is required");
    }
    return name;
}

static json_t *name_of_body(const struct whole_body *whole, struct refusal *refusal)
{
    json_error_t error;
    json_t *query =
        json_loadb(whole->buffer.data ? whole->buffer.data : "", whole->buffer.size, JSON_ALLOW_NUL, &error);
    json_t *name = json_object_get(json_object_get(query, "service"), "name");
    name = json_is_string(name) && json_string_length(name) > 0 ? json_incref(name) : NULL;
    if (!query) {
        refuse(refusal, 400, "the body is no JSON; accepted is {\"service\": {\"name\": …, \"environment\": …}}");
    } else if (!name) {
        refuse(refusal, 400, "service.name is required");
    }
    json_decref(query);
    return name;
}

// Whether the client has what it would be told.
static bool known(const struct request *request)
{
    const char *etag = request_field(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (!etag) {
        etag = MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "ifnonematch");
    }
    return etag && (strcmp(etag, "\"-\"") == 0 || strcmp(etag, "-") == 0);
}

void config_end(struct request *request)
{
    struct refusal refusal;
    json_t *service = request->post ? name_of_body(request->state, &refusal) : name_of_query(request, &refusal);
    if (!service) {
        if (gate_anonymous(&request->guest)) {
            refuse(&refusal, 400, "invalid query"); // as APM Server: it is not told more
        }
        config_fail(request, &refusal);
        return;
    }
    bool allowed = gate_authorize(&request->guest, TOLLBAR_ACTION_AGENT_CONFIG, NULL, service, &refusal);
    json_decref(service);
    if (!allowed) {
        config_fail(request, &refusal);
        return;
    }
    if (known(request)) {
        reply_empty(&request->reply, MHD_HTTP_NOT_MODIFIED);
    } else {
        reply_json(&request->reply, MHD_HTTP_OK, json_object());
    }
    reply_field(&request->reply, MHD_HTTP_HEADER_CACHE_CONTROL, "max-age=30, must-revalidate");
    reply_field(&request->reply, MHD_HTTP_HEADER_ETAG, "\"-\"");
    reply_field(&request->reply, "Access-Control-Expose-Headers", "Etag");
}

void config_fail(struct request *request, const struct refusal *refusal)
{
    reply_refusal(&request->reply, refusal);
    reply_field(&request->reply, MHD_HTTP_HEADER_CACHE_CONTROL, "max-age=300, must-revalidate");
}

void config_release(struct request *request)
{
    whole_body_free(request->state);
    free(request->state);
}
