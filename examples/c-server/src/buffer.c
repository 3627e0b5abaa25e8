#include "buffer.h"

#include <stdlib.h>
#include <string.h>

static bool grow(struct buffer *buffer, size_t wanted)
{
    size_t room = buffer->room ? buffer->room : 256;
    while (room < wanted) {
        if (room > (size_t)-1 / 2) {
            return false;
        }
        room *= 2;
    }
    char *data = realloc(buffer->data, room);
    if (!data) {
        return false;
    }
    buffer->data = data;
    buffer->room = room;
    return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    if (buffer->failed || size == 0) {
        return;
    }
    if (size > (size_t)-1 - buffer->size ||
        (buffer->size + size > buffer->room && !grow(buffer, buffer->size + size))) {
        buffer->failed = true;
        return;
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

void buffer_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
