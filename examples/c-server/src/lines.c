#include "lines.h"

#include <string.h>

static const size_t KEPT_BYTES = 512;

static bool blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!memchr(" \t\r\v\f", line[i], 5)) {
            return false;
        }
    }
    return true;
}

static bool gather(struct lines *lines, const char *piece, size_t size, struct refusal *refusal)
{
    if (lines->too_long) {
        return true;
    }
    if (size > LINES_MAX_BYTES - lines->partial.size) {
        lines->too_long = true;
        size = size < KEPT_BYTES ? size : KEPT_BYTES;
        if (lines->partial.size > KEPT_BYTES) {
            lines->partial.size = KEPT_BYTES;
        }
    }
    buffer_append(&lines->partial, piece, size);
    return !lines->partial.failed || refuse(refusal, 503, "the server lacks the memory for this line now");
}

bool lines_finish(struct lines *lines, struct refusal *refusal)
{
    bool going = true;
    if (lines->too_long || !blank(lines->partial.data, lines->partial.size)) {
        going = lines->sink(lines->context, lines->partial.data, lines->partial.size, lines->too_long, refusal);
    }
    buffer_clear(&lines->partial);
    lines->too_long = false;
    return going;
}

bool lines_feed(void *context, const char *data, size_t size, struct refusal *refusal)
{
    struct lines *lines = context;
    while (size > 0) {
        const char *newline = memchr(data, '\n', size);
        size_t piece = newline ? (size_t)(newline - data) : size;
        bool whole = newline && lines->partial.size == 0 && !lines->too_long && piece <= LINES_MAX_BYTES;
        if (whole) {
            // Nothing was gathered before: the line is taken where it stands.
            if (!blank(data, piece) && !lines->sink(lines->context, data, piece, false, refusal)) {
                return false;
            }
        } else if (!gather(lines, data, piece, refusal) || (newline && !lines_finish(lines, refusal))) {
            return false;
        }
        piece += newline != NULL;
        data += piece;
        size -= piece;
    }
    return true;
}

void lines_free(struct lines *lines)
{
    buffer_free(&lines->partial);
}
