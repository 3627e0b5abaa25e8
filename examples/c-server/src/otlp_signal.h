// The three kinds of telemetry: what an item of each is in events, and in the output.
//
// The output holds a summary: names, ids and times, in the spelling of OTLP's JSON. An event is a span, a log record,
// or a data point.
#ifndef C_SERVER_OTLP_SIGNAL_H
#define C_SERVER_OTLP_SIGNAL_H

#include "buffer.h"
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

// Decodes one item, adds the events in it to `count` and, if `head` (see output.h) is there, appends their lines.
// False: it can't be decoded, or memory ran out.
typedef bool otlp_item(const ProtobufCBinaryData *item, ProtobufCAllocator *allocator, const struct buffer *head,
                       struct buffer *lines, size_t *count);

struct otlp_signal {
    otlp_item *item;
};

extern const struct otlp_signal OTLP_TRACES, OTLP_METRICS, OTLP_LOGS;

#endif
