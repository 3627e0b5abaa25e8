#include "surrogates.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ESCAPE_BYTES = 6 }; // \uXXXX

// Whether `\uXXXX` is at `at`, of a unit from `low` to `high`.
static bool is_unit(const char *json, size_t size, size_t at, unsigned long low, unsigned long high)
{
    if (at > size || size - at < ESCAPE_BYTES || json[at] != '\\' || json[at + 1] != 'u') {
        return false;
    }
    char digits[5] = "";
    for (size_t i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)json[at + 2 + i])) {
            return false;
        }
        digits[i] = json[at + 2 + i];
    }
    unsigned long unit = strtoul(digits, NULL, 16);
    return low <= unit && unit <= high;
}

char *surrogates_replaced(const char *json, size_t size)
{
    char *copy = NULL;
    for (size_t at = 0; at < size;) {
        if (json[at] != '\\') {
            at++; // outside strings there is no backslash in JSON
        } else if (!is_unit(json, size, at, 0xD800, 0xDFFF)) {
            at += 2; // whatever is escaped, it is not looked at
        } else if (is_unit(json, size, at, 0xD800, 0xDBFF) && is_unit(json, size, at + ESCAPE_BYTES, 0xDC00, 0xDFFF)) {
            at += 2 * ESCAPE_BYTES;
        } else {
            if (!copy) {
                copy = malloc(size);
                if (!copy) {
                    return NULL;
                }
                memcpy(copy, json, size);
            }
            memcpy(copy + at, "\\uFFFD", ESCAPE_BYTES);
            at += ESCAPE_BYTES;
        }
    }
    return copy;
}
