#include "otlp_memory.h"

#include "memory.h"
#include <malloc.h>

static void *take(void *context, size_t size)
{
    struct otlp_memory *memory = context;
    void *pointer = size <= memory->left ? memory_alloc(size) : NULL;
    if (pointer && malloc_usable_size(pointer) > memory->left) {
        memory_free(pointer);
        pointer = NULL;
    }
    if (pointer) {
        memory->left -= malloc_usable_size(pointer);
    } else {
        memory->exhausted = true;
    }
    return pointer;
}

static void give(void *context, void *pointer)
{
    struct otlp_memory *memory = context;
    if (pointer) {
        memory->left += malloc_usable_size(pointer);
        memory_free(pointer);
    }
}

void otlp_memory_init(struct otlp_memory *memory)
{
    *memory = (struct otlp_memory){.allocator = {take, give, memory}, .left = OTLP_MEMORY_BYTES};
}
