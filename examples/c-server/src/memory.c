#include "memory.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_size_t taken;

bool memory_take(size_t bytes)
{
    // Relaxed: only the number itself matters, nothing else is published by it.
    size_t before = atomic_fetch_add_explicit(&taken, bytes, memory_order_relaxed);
    if (bytes <= MEMORY_LIMIT && before <= MEMORY_LIMIT - bytes) {
        return true;
    }
    memory_give(bytes);
    return false;
}

void memory_give(size_t bytes)
{
    atomic_fetch_sub_explicit(&taken, bytes, memory_order_relaxed);
}

void *memory_alloc(size_t size)
{
    if (size > MEMORY_LIMIT) {
        return NULL;
    }
    void *pointer = malloc(size);
    if (pointer && !memory_take(malloc_usable_size(pointer))) {
        free(pointer);
        return NULL;
    }
    return pointer;
}

void memory_free(void *pointer)
{
    if (pointer) {
        memory_give(malloc_usable_size(pointer));
        free(pointer);
    }
}
