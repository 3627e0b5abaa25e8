#include "batch.h"

#include "lines.h"

bool batch_open(const struct batch *batch)
{
    return batch->head.size > 0;
}

bool batch_begin(struct batch *batch, const struct event *metadata, struct refusal *refusal)
{
    struct names names;
    const char *protocol;
    if (!event_metadata(metadata, &names, &protocol, refusal) ||
        !gate_authorize(batch->guest, TOLLBAR_ACTION_INGEST, names.agent, names.service, refusal)) {
        return false;
    }
    batch->agent = json_incref(names.agent);
    batch->service = json_incref(names.service);
    return output_origin(&batch->head, batch->guest, protocol, names.agent, names.service) ||
           refuse(refusal, 503, "the server lacks the memory for this stream now");
}

static bool was_allowed(const struct batch *batch, json_t *pair)
{
    for (size_t i = 0; i < BATCH_LINES && batch->allowed[i]; i++) {
        if (json_equal(batch->allowed[i], pair)) {
            return true;
        }
    }
    return false;
}

static void remember(struct batch *batch, json_t *pair)
{
    for (size_t i = 0; i < BATCH_LINES; i++) {
        if (!batch->allowed[i]) {
            batch->allowed[i] = json_incref(pair);
            return;
        }
    }
}

static bool authorize(void *context, struct names names, struct refusal *refusal)
{
    struct batch *batch = context;
    if (!names.agent && !names.service) {
        return true; // the stream's own, which were authorized
    }
    json_t *agent = names.agent ? names.agent : batch->agent, *service = names.service ? names.service : batch->service;
    json_t *pair = json_pack("[O, O]", agent, service);
    if (!pair) {
        return refuse(refusal, 503, "the server lacks the memory for this event now");
    }
    bool allowed = was_allowed(batch, pair);
    if (!allowed && gate_authorize(batch->guest, TOLLBAR_ACTION_INGEST, agent, service, refusal)) {
        remember(batch, pair);
        allowed = true;
    }
    json_decref(pair);
    return allowed;
}

bool batch_add(struct batch *batch, struct event *event, struct refusal *refusal)
{
    size_t begin = batch->lines.size, events = 0;
    if (!event_names(event, authorize, batch, refusal) ||
        !event_write(event, &batch->head, &batch->lines, &events, refusal)) {
        batch->lines.size = begin;
        batch->lines.failed = false;
        if (refusal->decided) {
            // Names that are not allowed end the stream, and what would have been admitted with them is not.
            buffer_clear(&batch->lines);
            batch->line_count = 0;
        }
        return false;
    }
    batch->line_ends[batch->line_count] = batch->lines.size;
    batch->line_events[batch->line_count++] = events;
    return true;
}

bool batch_full(const struct batch *batch)
{
    return batch->line_count >= BATCH_LINES || batch->lines.size >= LINES_MAX_BYTES;
}

static bool accept_lines(struct batch *batch, const struct buffer *lines, size_t events, struct refusal *refusal)
{
    uint64_t patience = GATE_MAX_WAIT_NS;
    if (!gate_make_room(batch->guest, events, &patience, refusal) || !output_write(batch->output, lines, refusal)) {
        return false;
    }
    batch->accepted += events;
    return true;
}

// Together they are more than a small burst allows; line by line they may fit.
static bool accept_singly(struct batch *batch, struct refusal *refusal)
{
    size_t begin = 0;
    for (size_t i = 0; i < batch->line_count; i++) {
        struct buffer line = {.data = batch->lines.data + begin, .size = batch->line_ends[i] - begin};
        if (!accept_lines(batch, &line, batch->line_events[i], refusal)) {
            return false;
        }
        begin = batch->line_ends[i];
    }
    return true;
}

bool batch_flush(struct batch *batch, struct refusal *refusal)
{
    if (batch->line_count == 0) {
        return true;
    }
    size_t events = 0;
    for (size_t i = 0; i < batch->line_count; i++) {
        events += batch->line_events[i];
    }
    bool accepted = accept_lines(batch, &batch->lines, events, refusal);
    if (!accepted && refusal->exceeds_burst && batch->line_count > 1) {
        accepted = accept_singly(batch, refusal);
    }
    buffer_clear(&batch->lines);
    batch->line_count = 0;
    return accepted;
}

void batch_free(struct batch *batch)
{
    buffer_free(&batch->head);
    buffer_free(&batch->lines);
    json_decref(batch->agent);
    json_decref(batch->service);
    for (size_t i = 0; i < BATCH_LINES; i++) {
        json_decref(batch->allowed[i]);
    }
}
