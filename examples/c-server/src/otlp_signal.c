#include "otlp_signal.h"

#include "otlp.pb-c.h"
#include "output.h"
#include <inttypes.h>
#include <stdio.h>

// Text that is no UTF-8, and what is not there, is left out.
static void set_text(json_t *event, const char *key, const ProtobufCBinaryData *text)
{
    if (text->len > 0) {
        json_object_set_new(event, key, json_stringn((const char *)text->data, text->len));
    }
}

// Ids are spelled in hexadecimal. Longer ones than there are in OTLP are left out.
static void set_id(json_t *event, const char *key, const ProtobufCBinaryData *id)
{
    char text[33];
    if (id->len == 0 || id->len > 16) {
        return;
    }
    for (size_t i = 0; i < id->len; i++) {
        snprintf(text + 2 * i, 3, "%02x", id->data[i]);
    }
    json_object_set_new(event, key, json_string(text));
}

// 64 bits are spelled as a string, as protobuf's JSON has it.
static void set_time(json_t *event, const char *key, uint64_t time)
{
    char text[24];
    if (time != 0) {
        snprintf(text, sizeof text, "%" PRIu64, time);
        json_object_set_new(event, key, json_string(text));
    }
}

static bool write_event(json_t *event, const char *type, size_t times, const struct buffer *head, struct buffer *lines)
{
    bool written = event != NULL;
    for (size_t i = 0; written && i < times; i++) {
        written = output_event(lines, head, type, event);
    }
    json_decref(event);
    return written;
}

static bool span(const ProtobufCBinaryData *item, ProtobufCAllocator *allocator, const struct buffer *head,
                 struct buffer *lines, size_t *count)
{
    Otlp__Span *span = otlp__span__unpack(allocator, item->len, item->data);
    if (!span) {
        return false;
    }
    *count += 1;
    bool written = true;
    if (head) {
        json_t *event = json_object();
        set_text(event, "name", &span->name);
        set_id(event, "traceId", &span->trace_id);
        set_id(event, "spanId", &span->span_id);
        set_id(event, "parentSpanId", &span->parent_span_id);
        set_time(event, "startTimeUnixNano", span->start_time_unix_nano);
        set_time(event, "endTimeUnixNano", span->end_time_unix_nano);
        written = write_event(event, "span", 1, head, lines);
    }
    otlp__span__free_unpacked(span, allocator);
    return written;
}

static bool log_record(const ProtobufCBinaryData *item, ProtobufCAllocator *allocator, const struct buffer *head,
                       struct buffer *lines, size_t *count)
{
    Otlp__LogRecord *record = otlp__log_record__unpack(allocator, item->len, item->data);
    if (!record) {
        return false;
    }
    *count += 1;
    bool written = true;
    if (head) {
        json_t *event = json_object();
        set_time(event, "timeUnixNano", record->time_unix_nano);
        set_text(event, "severityText", &record->severity_text);
        if (record->body) {
            set_text(event, "body", &record->body->string_value);
        }
        set_id(event, "traceId", &record->trace_id);
        set_id(event, "spanId", &record->span_id);
        written = write_event(event, "log", 1, head, lines);
    }
    otlp__log_record__free_unpacked(record, allocator);
    return written;
}

static bool metric(const ProtobufCBinaryData *item, ProtobufCAllocator *allocator, const struct buffer *head,
                   struct buffer *lines, size_t *count)
{
    Otlp__Metric *metric = otlp__metric__unpack(allocator, item->len, item->data);
    if (!metric) {
        return false;
    }
    const struct {
        const char *kind;
        const Otlp__Data *data;
    } kinds[] = {
        {"gauge", metric->gauge},         {"sum", metric->sum},
        {"histogram", metric->histogram}, {"exponentialHistogram", metric->exponential_histogram},
        {"summary", metric->summary},
    };
    bool written = true;
    for (size_t i = 0; written && i < sizeof kinds / sizeof *kinds; i++) {
        size_t points = kinds[i].data ? kinds[i].data->n_points : 0;
        *count += points;
        if (head && points > 0) {
            json_t *event = json_object();
            set_text(event, "name", &metric->name);
            set_text(event, "unit", &metric->unit);
            json_object_set_new(event, "kind", json_string(kinds[i].kind));
            written = write_event(event, "metric", points, head, lines);
        }
    }
    otlp__metric__free_unpacked(metric, allocator);
    return written;
}

const struct otlp_signal OTLP_TRACES = {span}, OTLP_METRICS = {metric}, OTLP_LOGS = {log_record};
