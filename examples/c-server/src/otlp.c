#include "otlp.h"

#include "otlp.pb-c.h"
#include "otlp_memory.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// The largest request, decompressed. Protobuf can't be read in pieces, so this much is held in memory.
static const size_t MAX_BODY_BYTES = (size_t)8 * 1024 * 1024;

static const char PROTOBUF[] = "application/x-protobuf";

struct export_request {
    struct whole_body body;
    struct otlp_memory memory;
};

// What has become of the resources of a request.
struct outcome {
    size_t accepted, rejected;
    struct refusal refusal; // the first one; status 0: none
    struct buffer reasons;
};

// Who a resource says that it is: strings, owned.
struct source {
    json_t *agent, *service;
};

static bool is_protobuf(const struct request *request)
{
    const char *type = request_field(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    size_t length = type ? strcspn(type, "; \t") : 0;
    return length == strlen(PROTOBUF) && strncasecmp(type, PROTOBUF, length) == 0;
}

void otlp_begin(struct request *request)
{
    struct refusal refusal;
    if (!is_protobuf(request)) {
        const char *type = request_field(request, MHD_HTTP_HEADER_CONTENT_TYPE);
        char shown[81];
        printable(shown, sizeof shown, type ? type : "", type ? strlen(type) : 0);
        refuse(&refusal, 415, "unsupported content type '%s'; accepted is %s", shown, PROTOBUF);
        otlp_fail(request, &refusal);
        return;
    }
    struct export_request *export = calloc(1, sizeof *export);
    if (!export) {
        reply_empty(&request->reply, 500);
        return;
    }
    export->body.limit = MAX_BODY_BYTES;
    otlp_memory_init(&export->memory);
    request->state = export;
}

bool otlp_take(void *context, const char *data, size_t size, struct refusal *refusal)
{
    struct export_request *export = ((struct request *)context)->state;
    return whole_body_append(&export->body, data, size, refusal);
}

static bool undecodable(const struct export_request *export, struct refusal *refusal)
{
    return export->memory.exhausted
               ? refuse(refusal, 503, "the server lacks the memory for this request now")
               : refuse(refusal, 400, "failed to unmarshal request body: it is no OTLP export request");
}

// The value of the last attribute of this name, if it is a string.
static ProtobufCBinaryData attribute(const Otlp__Resource *resource, const char *key)
{
    ProtobufCBinaryData found = {0};
    for (size_t i = 0; resource && i < resource->n_attributes; i++) {
        const Otlp__KeyValue *pair = resource->attributes[i];
        if (pair->key.len == strlen(key) && memcmp(pair->key.data, key, pair->key.len) == 0) {
            found = pair->value ? pair->value->string_value : (ProtobufCBinaryData){0};
        }
    }
    return found;
}

static void append(struct buffer *buffer, ProtobufCBinaryData text, const char *otherwise)
{
    if (text.len > 0) {
        buffer_append(buffer, text.data, text.len);
    } else {
        buffer_text(buffer, otherwise);
    }
}

// The names of a resource, as APM Server finds them (SPEC section 6).
static bool name_source(const Otlp__Resource *resource, struct source *source, struct refusal *refusal)
{
    struct buffer agent = {0}, service = {0};
    ProtobufCBinaryData language = attribute(resource, "telemetry.sdk.language");
    append(&agent, attribute(resource, "telemetry.sdk.name"), "otlp");
    if (language.len > 0) {
        buffer_text(&agent, "/");
        append(&agent, language, "");
    }
    append(&service, attribute(resource, "service.name"), "unknown");
    bool failed = agent.failed || service.failed;
    *source = (struct source){
        failed ? NULL : json_stringn(agent.data, agent.size),
        failed ? NULL : json_stringn(service.data, service.size),
    };
    buffer_free(&agent);
    buffer_free(&service);
    if (source->agent && source->service) {
        return true;
    }
    json_decref(source->agent);
    json_decref(source->service);
    return failed ? refuse(refusal, 503, "the server lacks the memory for this request now")
                  : refuse(refusal, 400, "failed to unmarshal request body: a name is not UTF-8");
}

// Decodes all items of a resource; see `otlp_item`.
static bool walk(struct request *request, const Otlp__ResourceGroup *group, const struct buffer *head,
                 struct buffer *lines, size_t *events)
{
    const struct otlp_signal *signal = request->route->about;
    struct export_request *export = request->state;
    for (size_t i = 0; i < group->n_scopes; i++) {
        for (size_t j = 0; j < group->scopes[i]->n_items; j++) {
            if (!signal->item(&group->scopes[i]->items[j], &export->memory.allocator, head, lines, events)) {
                return false;
            }
        }
    }
    return true;
}

static bool accept_resource(struct request *request, const Otlp__ResourceGroup *group, const struct source *source,
                            size_t events, uint64_t *patience_ns, struct refusal *refusal)
{
    struct buffer head = {0}, lines = {0};
    size_t written = 0;
    bool accepted = gate_authorize(&request->guest, TOLLBAR_ACTION_INGEST, source->agent, source->service, refusal);
    if (accepted) {
        // Made before it is charged: what can't be written costs nothing.
        accepted = (output_origin(&head, &request->guest, "otlp", source->agent, source->service) &&
                    walk(request, group, &head, &lines, &written)) ||
                   refuse(refusal, 503, "the server lacks the memory for this request now");
    }
    accepted = accepted && gate_make_room(&request->guest, events, patience_ns, refusal) &&
               output_write(request->output, &lines, refusal);
    buffer_free(&head);
    buffer_free(&lines);
    return accepted;
}

static void note(struct outcome *outcome, const struct refusal *refusal, size_t events)
{
    outcome->rejected += events;
    if (outcome->refusal.status == 0) {
        outcome->refusal = *refusal;
        buffer_text(&outcome->reasons, refusal->message);
    } else if (outcome->reasons.size < 1024 && strcmp(refusal->message, outcome->refusal.message) != 0) {
        buffer_text(&outcome->reasons, "; ");
        buffer_text(&outcome->reasons, refusal->message);
    }
}

static bool take_all(struct request *request, const Otlp__Export *decoded, struct outcome *outcome,
                     struct refusal *refusal)
{
    // All resources of a request together wait no longer than one batch may: the whole body is in memory.
    uint64_t patience_ns = GATE_MAX_WAIT_NS;
    for (size_t i = 0; i < decoded->n_groups; i++) {
        const Otlp__ResourceGroup *group = decoded->groups[i];
        struct source source;
        struct refusal refused;
        size_t events = 0;
        // It was walked before: this can't fail but for want of memory.
        if (!walk(request, group, NULL, NULL, &events)) {
            return undecodable(request->state, refusal);
        }
        if (events == 0) {
            continue;
        }
        if (!name_source(group->resource, &source, refusal)) {
            return false;
        }
        if (accept_resource(request, group, &source, events, &patience_ns, &refused)) {
            outcome->accepted += events;
        } else {
            note(outcome, &refused, events);
        }
        json_decref(source.agent);
        json_decref(source.service);
    }
    return true;
}

// Whether every item and every name of the request can be decoded.
static bool decodable(struct request *request, const Otlp__Export *decoded, struct refusal *refusal)
{
    size_t events = 0;
    for (size_t i = 0; i < decoded->n_groups; i++) {
        struct source source;
        if (!walk(request, decoded->groups[i], NULL, NULL, &events)) {
            return undecodable(request->state, refusal);
        }
        if (!name_source(decoded->groups[i]->resource, &source, refusal)) {
            return false;
        }
        json_decref(source.agent);
        json_decref(source.service);
    }
    return true;
}

static void reply_message(struct reply *reply, unsigned status, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(size + 1); // an empty message has no bytes
    if (packed) {
        protobuf_c_message_pack(message, packed);
    }
    reply_bytes(reply, status, PROTOBUF, packed, size);
}

static void answer(struct request *request, const struct outcome *outcome)
{
    if (outcome->refusal.status != 0 && outcome->accepted == 0) {
        otlp_fail(request, &outcome->refusal);
        return;
    }
    Otlp__PartialSuccess partial = OTLP__PARTIAL_SUCCESS__INIT;
    Otlp__ExportResponse response = OTLP__EXPORT_RESPONSE__INIT;
    if (outcome->rejected > 0) {
        partial.rejected = (int64_t)outcome->rejected;
        partial.error_message.data = (uint8_t *)outcome->reasons.data;
        partial.error_message.len = outcome->reasons.size;
        response.partial_success = &partial;
    }
    reply_message(&request->reply, MHD_HTTP_OK, &response.base);
}

void otlp_end(struct request *request)
{
    struct export_request *export = request->state;
    struct outcome outcome = {0};
    struct refusal refusal;
    ProtobufCAllocator *allocator = &export->memory.allocator;
    Otlp__Export *decoded =
        otlp__export__unpack(allocator, export->body.buffer.size, (const uint8_t *)export->body.buffer.data);
    bool taken = decoded ? decodable(request, decoded, &refusal) && take_all(request, decoded, &outcome, &refusal)
                         : undecodable(export, &refusal);
    otlp__export__free_unpacked(decoded, allocator);
    if (taken) {
        answer(request, &outcome);
    } else {
        otlp_fail(request, &refusal);
    }
    buffer_free(&outcome.reasons);
}

static int grpc_status(const struct refusal *refusal)
{
    if (refusal->decided) {
        return refusal->grpc_status;
    }
    return refusal->status == 503 ? 14 : 3; // UNAVAILABLE, INVALID_ARGUMENT
}

// A `google.rpc.Status`, as OTLP has it; `{"error": …}` to those who don't speak it.
void otlp_fail(struct request *request, const struct refusal *refusal)
{
    if (!is_protobuf(request)) {
        reply_refusal(&request->reply, refusal);
        return;
    }
    Otlp__Status status = OTLP__STATUS__INIT;
    status.code = grpc_status(refusal);
    status.message.data = (uint8_t *)(uintptr_t)refusal->message;
    status.message.len = strlen(refusal->message);
    reply_message(&request->reply, refusal->status, &status.base);
    reply_refusal_fields(&request->reply, refusal);
}

void otlp_release(struct request *request)
{
    struct export_request *export = request->state;
    whole_body_free(&export->body);
    free(export);
}
