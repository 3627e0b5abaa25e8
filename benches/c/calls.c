/*
 * The loops of the bench of the C ABI: what a C server does, over requests that are there already.
 *
 * The functions come as pointers, as from a shared library: the call can't be inlined.
 */
#include <tollbar.h>

typedef tollbar_status (*check_fn)(const tollbar_engine *, const tollbar_request *, const tollbar_question *,
                                   const uint64_t *, tollbar_decision *);
typedef tollbar_status (*check_batch_fn)(const tollbar_engine *, const tollbar_request *, const tollbar_question *,
                                         size_t, const uint64_t *, tollbar_decision *);

/* Checks `calls` of the `len` requests in turn; returns how many were allowed. */
uint64_t bench_check(check_fn check, const tollbar_engine *engine, const tollbar_request *requests, size_t len,
                     const tollbar_question *question, const uint64_t *now, uint64_t calls)
{
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    uint64_t allowed = 0;
    size_t next = 0;
    for (uint64_t i = 0; i < calls; i++) {
        check(engine, &requests[next], question, now, &decision);
        allowed += decision.allowed;
        next = next + 1 == len ? 0 : next + 1;
    }
    return allowed;
}

/* Checks `batches` of 64 of the `len` requests in turn, a multiple of 64; returns how many were allowed. */
uint64_t bench_check_batch(check_batch_fn check_batch, const tollbar_engine *engine, const tollbar_request *requests,
                           size_t len, const tollbar_question *questions, const uint64_t *now, uint64_t batches)
{
    tollbar_decision decisions[64] = {TOLLBAR_DECISION_INIT};
    uint64_t allowed = 0;
    size_t next = 0;
    for (uint64_t i = 0; i < batches; i++) {
        check_batch(engine, &requests[next], &questions[next], 64, now, decisions);
        for (size_t j = 0; j < 64; j++) {
            allowed += decisions[j].allowed;
        }
        next = next + 64 == len ? 0 : next + 64;
    }
    return allowed;
}
