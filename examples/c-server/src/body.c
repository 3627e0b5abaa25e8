#include "body.h"

#include "memory.h"
#include <ctype.h>
#include <string.h>

static const int GZIP_WINDOW = 31, ZLIB_WINDOW = 15, RAW_DEFLATE_WINDOW = -15;

void body_open(struct body *body, const char *encoding)
{
    *body = (struct body){.kind = BODY_UNDECIDED};
    size_t length = 0;
    for (; encoding && *encoding && length < sizeof body->encoding - 1; encoding++) {
        if (*encoding != ' ' && *encoding != '\t') {
            body->encoding[length++] = (char)tolower((unsigned char)*encoding);
        }
    }
}

static const char *name_of(const struct body *body)
{
    return body->kind == BODY_GZIP ? "gzip" : "deflate";
}

static bool inflate_as(struct body *body, int kind, int window, struct refusal *refusal)
{
    if (inflateInit2(&body->inflater, window) != Z_OK) {
        return refuse(refusal, 503, "the server lacks the memory for this body now");
    }
    body->kind = kind;
    body->inflating = true;
    return true;
}

// Without a Content-Encoding the first two bytes tell, as in APM Server.
static bool decide(struct body *body, struct refusal *refusal)
{
    const unsigned char *head = body->head;
    bool two = body->head_size == 2;
    bool zlib_header = two && (head[0] & 0x0F) == 8 && (head[0] * 256 + head[1]) % 31 == 0;
    const char *encoding = body->encoding;
    if (strcmp(encoding, "gzip") == 0 || strcmp(encoding, "x-gzip") == 0) {
        return inflate_as(body, BODY_GZIP, GZIP_WINDOW, refusal);
    }
    if (strcmp(encoding, "deflate") == 0) {
        return inflate_as(body, BODY_DEFLATE, zlib_header ? ZLIB_WINDOW : RAW_DEFLATE_WINDOW, refusal);
    }
    if (encoding[0] && strcmp(encoding, "identity") != 0) {
        return refuse(refusal, 415, "unsupported content encoding '%s'; accepted are gzip, deflate and identity",
                      encoding);
    }
    if (two && head[0] == 0x1F && head[1] == 0x8B) {
        return inflate_as(body, BODY_GZIP, GZIP_WINDOW, refusal);
    }
    if (zlib_header) {
        return inflate_as(body, BODY_DEFLATE, ZLIB_WINDOW, refusal);
    }
    body->kind = BODY_IDENTITY;
    return true;
}

// All of the data is consumed, so nothing of the caller's stays in the inflater.
static bool decode(struct body *body, const char *data, size_t size, body_sink *sink, void *context,
                   struct refusal *refusal)
{
    if (body->kind == BODY_IDENTITY) {
        return sink(context, data, size, refusal);
    }
    char step[BODY_STEP];
    z_stream *inflater = &body->inflater;
    inflater->next_in = (unsigned char *)(uintptr_t)data;
    inflater->avail_in = (unsigned)size;
    body->taken += size;
    for (bool more = true; more;) {
        if (body->ended && inflater->avail_in > 0) {
            // A gzip file may have several members.
            if (body->kind != BODY_GZIP) {
                return refuse(refusal, 400, "the deflate body has data after its end");
            }
            if (inflateReset(inflater) != Z_OK) {
                return refuse(refusal, 400, "the gzip body is damaged");
            }
            body->ended = false;
        }
        if (body->ended) {
            return true;
        }
        inflater->next_out = (unsigned char *)step;
        inflater->avail_out = sizeof step;
        int result = inflate(inflater, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR) {
            return refuse(refusal, 503, "the server lacks the memory for this body now");
        }
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
            return refuse(refusal, 400, "the %s body is damaged: %s", name_of(body),
                          inflater->msg ? inflater->msg : "it needs a dictionary");
        }
        size_t made = sizeof step - inflater->avail_out;
        body->given += made;
        if (body->given > BODY_RATIO_FREE && body->given / BODY_MAX_RATIO > body->taken) {
            return refuse(refusal, 413, "the %s body inflates to more than %d times its size; accepted is less",
                          name_of(body), BODY_MAX_RATIO);
        }
        body->ended = result == Z_STREAM_END;
        if (made > 0 && !sink(context, step, made, refusal)) {
            return false;
        }
        // A full step may have left more inside the inflater, even with no input left.
        more = inflater->avail_in > 0 || inflater->avail_out == 0;
    }
    return true;
}

bool body_feed(struct body *body, const char *data, size_t size, body_sink *sink, void *context,
               struct refusal *refusal)
{
    if (body->kind == BODY_UNDECIDED) {
        while (body->head_size < 2 && size > 0) {
            body->head[body->head_size++] = (unsigned char)*data++;
            size--;
        }
        if (body->head_size < 2) {
            return true;
        }
        if (!decide(body, refusal) ||
            !decode(body, (const char *)body->head, body->head_size, sink, context, refusal)) {
            return false;
        }
    }
    return size == 0 || decode(body, data, size, sink, context, refusal);
}

bool body_finish(struct body *body, body_sink *sink, void *context, struct refusal *refusal)
{
    if (body->kind == BODY_UNDECIDED && body->head_size > 0) {
        if (!decide(body, refusal) ||
            !decode(body, (const char *)body->head, body->head_size, sink, context, refusal)) {
            return false;
        }
    }
    if (body->inflating && !body->ended) {
        return refuse(refusal, 400, "the %s body is truncated", name_of(body));
    }
    return true;
}

void body_close(struct body *body)
{
    if (body->inflating) {
        inflateEnd(&body->inflater);
        body->inflating = false;
    }
}

bool whole_body_append(void *context, const char *data, size_t size, struct refusal *refusal)
{
    struct whole_body *whole = context;
    if (size > whole->limit - whole->buffer.size) {
        return refuse(refusal, 413, "request body too large: accepted are up to %zu bytes, decompressed", whole->limit);
    }
    // The buffer at most doubles, so twice the size covers what it holds.
    if (!memory_take(2 * size)) {
        return refuse(refusal, 503, "the server holds as many bodies as it can; try again later");
    }
    whole->counted += 2 * size;
    buffer_append(&whole->buffer, data, size);
    if (whole->buffer.failed) {
        return refuse(refusal, 503, "the server lacks the memory for this body now");
    }
    return true;
}

void whole_body_free(struct whole_body *whole)
{
    memory_give(whole->counted);
    whole->counted = 0;
    buffer_free(&whole->buffer);
}
