#include "refusal.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

void printable(char *to, size_t room, const char *text, size_t size)
{
    size_t length = size < room - 1 ? size : room - 1;
    if (length < size) {
        // A character isn't cut in two: bytes that continue one are 10xxxxxx.
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) {
            length--;
        }
    }
    json_t *valid = json_stringn(text, length);
    json_decref(valid);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        to[i] = byte < 0x20 || (!valid && byte >= 0x80) ? '?' : text[i];
    }
    to[length] = '\0';
}

static void fill(struct refusal *refusal, unsigned status, const char *format, va_list arguments)
{
    char message[sizeof refusal->message];
    vsnprintf(message, sizeof message, format, arguments);
    *refusal = (struct refusal){.status = status};
    size_t length = 0;
    while (message[length]) {
        length++;
    }
    printable(refusal->message, sizeof refusal->message, message, length);
}

bool refuse(struct refusal *refusal, unsigned status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(refusal, status, format, arguments);
    va_end(arguments);
    return false;
}

bool refuse_document(struct refusal *refusal, unsigned status, const char *document, size_t size, const char *format,
                     ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(refusal, status, format, arguments);
    va_end(arguments);
    printable(refusal->document, sizeof refusal->document, document, size);
    return false;
}
