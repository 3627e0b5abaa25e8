#include "result.h"

// The answer shows as many errors of single events; further ones are only reflected in the status.
static const size_t SHOWN_ERRORS = 5;

void result_add(struct result *result, const struct refusal *refusal, bool ends_stream)
{
    if (refusal->status > result->status) {
        result->status = refusal->status;
    }
    reply_refusal_fields(&result->fields, refusal);
    if (!ends_stream && json_array_size(result->errors) >= SHOWN_ERRORS) {
        return;
    }
    if (!result->errors) {
        result->errors = json_array();
    }
    // If memory runs out here, the error is not shown; the status stands.
    json_array_append_new(result->errors, refusal->document[0] ? json_pack("{s:s, s:s}", "message", refusal->message,
                                                                           "document", refusal->document)
                                                               : json_pack("{s:s}", "message", refusal->message));
}

void result_reply(struct result *result, size_t accepted, bool verbose, struct reply *reply)
{
    unsigned status = result->status ? result->status : MHD_HTTP_ACCEPTED;
    if (!result->status && !verbose) {
        reply_empty(reply, status);
        return;
    }
    reply_json(reply, status,
               result->errors ? json_pack("{s:I, s:O}", "accepted", (json_int_t)accepted, "errors", result->errors)
                              : json_pack("{s:I}", "accepted", (json_int_t)accepted));
    for (size_t i = 0; i < REPLY_FIELDS && result->fields.fields[i].name; i++) {
        if (result->fields.fields[i].value) {
            reply_field(reply, result->fields.fields[i].name, result->fields.fields[i].value);
        }
    }
}

void result_free(struct result *result)
{
    json_decref(result->errors);
    reply_free(&result->fields);
}
