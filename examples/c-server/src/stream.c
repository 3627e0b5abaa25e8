#include "stream.h"

#include "batch.h"
#include "lines.h"
#include "result.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// A stream with more invalid events than this is cut: they cost time, but nobody is charged for them.
static const size_t MAX_INVALID = 1000;

struct stream {
    struct lines lines;
    struct batch batch;
    struct result result;
    size_t invalid;
};

// Says that it is the metadata which a refusal speaks of, unless it is for who the client is.
static void tell_first(struct refusal *refusal)
{
    if (!refusal->decided && refusal->status == 400) {
        char message[sizeof refusal->message];
        snprintf(message, sizeof message, "cannot read metadata in stream: %.400s", refusal->message);
        memcpy(refusal->message, message, sizeof message);
    }
}

static bool take_line(void *context, const char *line, size_t size, bool too_long, struct refusal *refusal)
{
    struct stream *stream = context;
    struct batch *batch = &stream->batch;
    struct event event;
    bool first = !batch_open(batch);
    bool taken = event_parse(&event, line, size, too_long, refusal) &&
                 (first ? batch_begin(batch, &event, refusal) : batch_add(batch, &event, refusal));
    event_free(&event);
    if (taken) {
        return !batch_full(batch) || batch_flush(batch, refusal);
    }
    if (first) {
        tell_first(refusal);
        return false;
    }
    if (refusal->decided || refusal->status != 400) {
        return false;
    }
    // An event that is not valid is left out, and the stream goes on.
    result_add(&stream->result, refusal, false);
    return ++stream->invalid <= MAX_INVALID || refuse(refusal, 400, "more than %zu events are invalid", MAX_INVALID);
}

void stream_begin(struct request *request)
{
    struct refusal refusal;
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        reply_empty(&request->reply, 500);
        return;
    }
    stream->lines.sink = take_line;
    stream->lines.context = stream;
    stream->batch.guest = &request->guest;
    stream->batch.output = request->output;
    request->state = stream;
    const char *type = request_field(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (type && type[0] && !strcasestr(type, "application/x-ndjson")) {
        char shown[81];
        printable(shown, sizeof shown, type, strlen(type));
        refuse(&refusal, 400, "invalid content type: '%s'; accepted is application/x-ndjson", shown);
        stream_fail(request, &refusal);
    }
}

bool stream_take(void *context, const char *data, size_t size, struct refusal *refusal)
{
    struct request *request = context;
    struct stream *stream = request->state;
    return lines_feed(&stream->lines, data, size, refusal);
}

bool stream_pause(struct request *request, struct refusal *refusal)
{
    struct stream *stream = request->state;
    return batch_flush(&stream->batch, refusal);
}

static void answer(struct request *request)
{
    struct stream *stream = request->state;
    bool verbose = MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, "verbose",
                                                 strlen("verbose"), NULL, NULL) == MHD_YES;
    result_reply(&stream->result, stream->batch.accepted, verbose, &request->reply);
}

void stream_end(struct request *request)
{
    struct stream *stream = request->state;
    struct refusal refusal;
    if (!lines_finish(&stream->lines, &refusal) || !batch_flush(&stream->batch, &refusal)) {
        stream_fail(request, &refusal);
        return;
    }
    answer(request);
}

void stream_fail(struct request *request, const struct refusal *refusal)
{
    struct stream *stream = request->state;
    if (!stream) { // it did not pass the gate
        reply_refusal(&request->reply, refusal);
        return;
    }
    struct refusal late;
    if (!refusal->decided && !batch_flush(&stream->batch, &late)) {
        // The body broke off; the lines before are complete, and had their chance.
        result_add(&stream->result, &late, true);
    }
    result_add(&stream->result, refusal, true);
    answer(request);
}

void stream_release(struct request *request)
{
    struct stream *stream = request->state;
    lines_free(&stream->lines);
    batch_free(&stream->batch);
    result_free(&stream->result);
    free(stream);
}
