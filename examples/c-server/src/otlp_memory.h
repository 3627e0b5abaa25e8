// Memory for protobuf's decoder: counted (memory.h), and bounded for each request, since two bytes on the wire can
// become a hundred.
#ifndef C_SERVER_OTLP_MEMORY_H
#define C_SERVER_OTLP_MEMORY_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#define OTLP_MEMORY_BYTES ((size_t)64 * 1024 * 1024)

struct otlp_memory {
    ProtobufCAllocator allocator;
    size_t left;
    bool exhausted; // something was refused
};

// It must stay where it is.
void otlp_memory_init(struct otlp_memory *memory);

#endif
