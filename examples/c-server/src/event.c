#include "event.h"

#include "lines.h"
#include "output.h"
#include "surrogates.h"
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *key, *type;
} TYPES[] = {
    {"transaction", "transaction"}, {"span", "span"}, {"error", "error"}, {"metricset", "metricset"}, {"log", "log"},
    {"x", "transaction"},           {"e", "error"},
};
static const size_t TYPE_COUNT = sizeof TYPES / sizeof *TYPES;

static const struct {
    const char *key, *type;
} NESTED[] = {{"y", "span"}, {"me", "metricset"}};
#define NESTED_COUNT (sizeof NESTED / sizeof *NESTED)

static const char *type_of(const char *key)
{
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(TYPES[i].key, key) == 0) {
            return TYPES[i].type;
        }
    }
    return NULL;
}

static json_t *decode_as(const char *line, size_t size, json_error_t *error)
{
    const size_t flags = JSON_ALLOW_NUL | JSON_DECODE_ANY;
    json_t *document = json_loadb(line, size, flags, error);
    if (!document && json_error_code(error) == json_error_numeric_overflow) {
        // JSON's integers have no limit, the library's have 64 bits.
        document = json_loadb(line, size, flags | JSON_DECODE_INT_AS_REAL, error);
    }
    return document;
}

static json_t *decode(const char *line, size_t size, json_error_t *error)
{
    json_t *document = decode_as(line, size, error);
    if (!document && json_error_code(error) == json_error_invalid_syntax) {
        // Browsers cut strings within a character, and spell the rest as half a surrogate pair, which the library
        // refuses.
        char *whole = surrogates_replaced(line, size);
        if (whole) {
            document = decode_as(whole, size, error);
            free(whole);
        }
    }
    return document;
}

static bool malformed(const char *line, size_t size, const json_error_t *error, struct refusal *refusal)
{
    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        return refuse(refusal, 503, "the server lacks the memory for this event now");
    case json_error_numeric_overflow:
        return refuse_document(refusal, 400, line, size, "a number is out of range");
    case json_error_stack_overflow:
        return refuse_document(refusal, 400, line, size, "the JSON is nested too deeply");
    default:
        return refuse_document(refusal, 400, line, size, "invalid JSON at column %d: %s", error->column, error->text);
    }
}

bool event_parse(struct event *event, const char *line, size_t size, bool too_long, struct refusal *refusal)
{
    *event = (struct event){0};
    if (too_long) {
        return refuse_document(refusal, 400, line, size, "event exceeded the permitted size of %zu bytes",
                               LINES_MAX_BYTES);
    }
    json_error_t error;
    json_t *document = decode(line, size, &error);
    if (!document) {
        return malformed(line, size, &error, refusal);
    }
    void *first = json_object_iter(document); // null if it is no object, or empty
    const char *key = first ? json_object_iter_key(first) : NULL;
    json_t *body = first ? json_object_iter_value(first) : NULL;
    if (!json_is_object(body)) {
        char shown[41] = "";
        if (key) {
            printable(shown, sizeof shown, key, strlen(key));
        }
        json_decref(document);
        return key ? refuse_document(refusal, 400, line, size, "\"%s\" must be a JSON object", shown)
                   : refuse_document(refusal, 400, line, size,
                                     "accepted is a JSON object with one key, the event's type");
    }
    *event = (struct event){document, key, body};
    return true;
}

void event_free(struct event *event)
{
    json_decref(event->document);
    *event = (struct event){0};
}

static json_t *name_in(json_t *parent, const char *key)
{
    json_t *value = json_object_get(parent, key);
    return json_is_string(value) && json_string_length(value) > 0 ? value : NULL;
}

// Names of `metadata` or `m`: the keys differ, the shape is the same.
static bool read_metadata(json_t *body, const char *const path[4], struct names *names, struct refusal *refusal)
{
    const char *const of = "validation error: ";
    json_t *service = json_object_get(body, path[1]);
    json_t *agent = json_object_get(service, path[2]);
    if (!json_is_object(service)) {
        return refuse(refusal, 400, "%s'%s.%s' must be an object", of, path[0], path[1]);
    }
    if (!json_is_object(agent)) {
        return refuse(refusal, 400, "%s'%s.%s.%s' must be an object", of, path[0], path[1], path[2]);
    }
    *names = (struct names){name_in(agent, path[3]), name_in(service, path[3])};
    if (!names->agent) {
        return refuse(refusal, 400, "%s'%s.%s.%s.%s' must be a string that is not empty", of, path[0], path[1], path[2],
                      path[3]);
    }
    return names->service ||
           refuse(refusal, 400, "%s'%s.%s.%s' must be a string that is not empty", of, path[0], path[1], path[3]);
}

bool event_metadata(const struct event *event, struct names *names, const char **protocol, struct refusal *refusal)
{
    static const char *const V2[] = {"metadata", "service", "agent", "name"};
    static const char *const V3[] = {"m", "se", "a", "n"};
    if (strcmp(event->key, V2[0]) == 0) {
        *protocol = "intake/v2";
        return read_metadata(event->body, V2, names, refusal);
    }
    if (strcmp(event->key, V3[0]) == 0) {
        *protocol = "rum/v3";
        return read_metadata(event->body, V3, names, refusal);
    }
    return refuse(refusal, 400, "\"metadata\" or \"m\" required as the first line");
}

// The list of objects under `key`, or null where there is none.
static bool items_of(json_t *parent, const char *key, json_t **items, struct refusal *refusal)
{
    json_t *found = json_object_get(parent, key);
    *items = NULL;
    if (!found || json_is_null(found)) {
        return true;
    }
    bool objects = json_is_array(found);
    for (size_t i = 0; objects && i < json_array_size(found); i++) {
        objects = json_is_object(json_array_get(found, i));
    }
    *items = objects ? found : NULL;
    return objects || refuse(refusal, 400, "validation error: '%s' must be a list of objects", key);
}

static struct names short_names(json_t *part)
{
    json_t *service = json_object_get(json_object_get(part, "c"), "se");
    return (struct names){name_in(json_object_get(service, "a"), "n"), name_in(service, "n")};
}

bool event_names(const struct event *event, names_visitor *visit, void *context, struct refusal *refusal)
{
    const char *key = event->key;
    json_t *body = event->body;
    struct names names = {0};
    if (strcmp(key, "x") == 0 || strcmp(key, "e") == 0) {
        json_t *spans = NULL;
        if (strcmp(key, "x") == 0 && !items_of(body, "y", &spans, refusal)) {
            return false;
        }
        for (size_t i = 0; i < json_array_size(spans); i++) {
            if (!visit(context, short_names(json_array_get(spans, i)), refusal)) {
                return false;
            }
        }
        names = short_names(body);
    } else if (strcmp(key, "metricset") == 0) {
        names.service = name_in(json_object_get(body, "service"), "name");
    } else if (strcmp(key, "log") == 0) {
        names.service = name_in(body, "service.name");
        if (!names.service) {
            names.service = name_in(json_object_get(body, "service"), "name");
        }
    } else {
        json_t *service = json_object_get(json_object_get(body, "context"), "service");
        names = (struct names){name_in(json_object_get(service, "agent"), "name"), name_in(service, "name")};
    }
    return visit(context, names, refusal);
}

static bool write_one(struct buffer *lines, const struct buffer *head, const char *type, json_t *body, size_t *count,
                      struct refusal *refusal)
{
    if (!output_event(lines, head, type, body)) {
        return refuse(refusal, 503, "the server lacks the memory for this event now");
    }
    *count += 1;
    return true;
}

// A part of a RUM v3 transaction stands alone in the output, so it is told what it belongs to.
static bool write_nested(json_t *items, const char *type, json_t *transaction, const struct buffer *head,
                         struct buffer *lines, size_t *count, struct refusal *refusal)
{
    json_t *trace_id = json_object_get(transaction, "tid"), *id = json_object_get(transaction, "id");
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        if (json_object_set_new(item, "trace_id", trace_id ? json_incref(trace_id) : json_null()) != 0 ||
            json_object_set_new(item, "transaction_id", id ? json_incref(id) : json_null()) != 0) {
            return refuse(refusal, 503, "the server lacks the memory for this event now");
        }
        if (!write_one(lines, head, type, item, count, refusal)) {
            return false;
        }
    }
    return true;
}

bool event_write(struct event *event, const struct buffer *head, struct buffer *lines, size_t *count,
                 struct refusal *refusal)
{
    const char *type = type_of(event->key);
    if (!type) {
        char shown[41];
        printable(shown, sizeof shown, event->key, strlen(event->key));
        return refuse(refusal, 400,
                      "did not recognize object type: \"%s\"; accepted are transaction, span, error, metricset, log, "
                      "x and e",
                      shown);
    }
    bool nests = strcmp(event->key, "x") == 0;
    json_t *nested[NESTED_COUNT] = {NULL};
    bool going = true;
    for (size_t i = 0; going && nests && i < NESTED_COUNT; i++) {
        going = items_of(event->body, NESTED[i].key, &nested[i], refusal);
        json_incref(nested[i]);
        json_object_del(event->body, NESTED[i].key);
    }
    going = going && write_one(lines, head, type, event->body, count, refusal);
    for (size_t i = 0; i < NESTED_COUNT; i++) {
        going = going && write_nested(nested[i], NESTED[i].type, event->body, head, lines, count, refusal);
        json_decref(nested[i]);
    }
    return going;
}
