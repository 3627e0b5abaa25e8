// Half surrogate pairs in JSON: JavaScript's strings may hold them, Unicode's may not.
#ifndef C_SERVER_SURROGATES_H
#define C_SERVER_SURROGATES_H

#include <stddef.h>

// A copy of the JSON, as long, in which each `\uD800` to `\uDFFF` that is no half of a pair is U+FFFD; to be freed.
// Null if there is none, or no memory.
char *surrogates_replaced(const char *json, size_t size);

#endif
