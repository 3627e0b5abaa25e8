/*
 * What Go calls: the C ABI with its structs taken apart. Go memory that holds Go pointers must not be passed to C, so
 * every text comes as a pointer and a length of its own, and the structs are put together here, on the C stack. Nothing
 * is kept.
 *
 * A decision's arguments are one struct, as those are that cgo makes of a call's: it lies on the goroutine's stack, and
 * call.go hands it over.
 */
#ifndef TOLLBAR_GO_SHIM_H
#define TOLLBAR_GO_SHIM_H

#include <stdlib.h>
#include <tollbar.h>

/* Bits of `flags`. */
#define TBG_ACTION 0x3u /* the action */
#define TBG_RUM 0x4u    /* the route is a RUM route */
#define TBG_PEER 0x8u   /* the peer is known */
#define TBG_NOW 0x10u   /* `now` counts */

static inline tollbar_str tbg_str(const char *data, size_t len)
{
    tollbar_str str = {data, len};
    return str;
}

/* Where a request comes from. The three headers that name a client are joined to one value each; NULL: it was not
 * sent. */
typedef struct tbg_origin {
    uint64_t high, low;
    tollbar_str authorization, forwarded, real_ip, forwarded_for;
    uint32_t flags; /* TBG_PEER */
} tbg_origin;

/* What is asked about it. */
typedef struct tbg_question {
    tollbar_str agent, service;
    uint64_t cost;
    uint32_t flags; /* TBG_ACTION, TBG_RUM */
} tbg_question;

/* When. */
typedef struct tbg_at {
    uint64_t now;
    uint32_t flags; /* TBG_NOW */
} tbg_at;

typedef struct tbg_check_args {
    const tollbar_engine *engine;
    tollbar_decision *decision;
    tbg_origin origin;
    tbg_question question;
    tbg_at at;
} tbg_check_args;

typedef struct tbg_authenticate_args {
    const tollbar_engine *engine;
    tollbar_client *client;
    tbg_origin origin;
    tbg_at at;
} tbg_authenticate_args;

/* What a client is asked; each function reads what it needs. */
typedef struct tbg_client_args {
    const tollbar_engine *engine;
    const tollbar_client *client;
    tollbar_decision *decision;
    tbg_question question;
    uint64_t n, max_wait;
    tbg_at at;
} tbg_client_args;

typedef struct tbg_admit_ip_args {
    const tollbar_engine *engine;
    uint64_t high, low, n;
    tbg_at at;
    tollbar_admission admission;
} tbg_admit_ip_args;

void tbg_check(void *args);
void tbg_authenticate(void *args);
void tbg_client_decision(void *args);
void tbg_client_check(void *args);
void tbg_client_rum_route(void *args);
void tbg_client_authorize(void *args);
void tbg_client_reserve(void *args);
void tbg_admit_ip(void *args);

static inline const uint64_t *tbg_now(const tbg_at *at)
{
    return at->flags & TBG_NOW ? &at->now : NULL;
}

/* `headers` is the memory for those of the request. */
static inline tollbar_request tbg_request(const tbg_origin *origin, tollbar_header headers[3])
{
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    if (origin->flags & TBG_PEER) {
        const uint64_t high = __builtin_bswap64(origin->high), low = __builtin_bswap64(origin->low);
        memcpy(request.peer.bytes, &high, 8);
        memcpy(request.peer.bytes + 8, &low, 8);
        request.peer.family = 6;
    }
    request.authorization = origin->authorization;
    request.headers = headers;
    if (origin->forwarded.data) {
        headers[request.headers_len].name = tbg_str("forwarded", 9);
        headers[request.headers_len++].value = origin->forwarded;
    }
    if (origin->real_ip.data) {
        headers[request.headers_len].name = tbg_str("x-real-ip", 9);
        headers[request.headers_len++].value = origin->real_ip;
    }
    if (origin->forwarded_for.data) {
        headers[request.headers_len].name = tbg_str("x-forwarded-for", 15);
        headers[request.headers_len++].value = origin->forwarded_for;
    }
    return request;
}

static inline tollbar_question tbg_asked(const tbg_question *of)
{
    tollbar_question question = TOLLBAR_QUESTION_INIT;
    question.cost = of->cost;
    question.agent = of->agent;
    question.service = of->service;
    question.action = (tollbar_action)(of->flags & TBG_ACTION);
    question.rum = (of->flags & TBG_RUM) != 0;
    return question;
}

/* Go knows no const. */
void tbg_verified(void *userdata, tollbar_client *client);

/* As tbg_authenticate(), but calls back; `token` is what Go knows the call by. */
static inline tollbar_status tbg_verify(const tollbar_engine *engine, tbg_origin origin, uintptr_t token)
{
    tollbar_header headers[3];
    const tollbar_request request = tbg_request(&origin, headers);
    return tollbar_verify_async(engine, &request, NULL, (tollbar_verified_fn)tbg_verified, (void *)token);
}

tollbar_verdict tbg_verifier(void *userdata, tollbar_str id, tollbar_str key, uint32_t *privileges);
void tbg_free_verifier(void *userdata);

static inline tollbar_status tbg_set_verifier(const tollbar_engine *engine, uintptr_t token, tollbar_error *error)
{
    if (token == 0) {
        return tollbar_set_verifier(engine, NULL, NULL, NULL, error);
    }
    return tollbar_set_verifier(engine, tbg_verifier, (void *)token, tbg_free_verifier, error);
}

static inline tollbar_status tbg_admit_ips(const tollbar_engine *engine, const tollbar_ip_charge *charges, size_t len,
                                           uint32_t flags, uint64_t now, tollbar_admission *admissions)
{
    return tollbar_admit_ips(engine, charges, len, flags & TBG_NOW ? &now : NULL, admissions);
}

static inline bool tbg_allows_origin(const tollbar_engine *engine, const char *origin, size_t len)
{
    return tollbar_engine_allows_origin(engine, tbg_str(origin, len));
}

static inline tollbar_status tbg_ip_parse(const char *text, size_t len, tollbar_ip *ip)
{
    return tollbar_ip_parse(tbg_str(text, len), ip);
}

static inline size_t tbg_message(const tollbar_decision *decision, const char *agent, size_t agent_len,
                                 const char *service, size_t service_len, char *buffer, size_t capacity)
{
    return tollbar_decision_message(decision, tbg_str(agent, agent_len), tbg_str(service, service_len), buffer,
                                    capacity);
}

/* One of many requests: its texts stand in one buffer, one after the other, so that there is no pointer in here. -1:
 * none. */
typedef struct tbg_item {
    uint64_t high, low, cost;
    int64_t authorization, forwarded, real_ip, forwarded_for, agent, service; /* lengths */
    uint32_t flags;
} tbg_item;

#define TBG_AT_ONCE 64

/* Decides `len` requests, at most TBG_AT_ONCE, whose texts begin at `text`. */
static inline void tbg_check_batch(const tollbar_engine *engine, const tbg_item *items, size_t len, const char *text,
                                   uint32_t flags, uint64_t now, tollbar_decision *decisions)
{
    tollbar_request requests[TBG_AT_ONCE];
    tollbar_question questions[TBG_AT_ONCE];
    tollbar_header headers[TBG_AT_ONCE][3];
#define TBG_NEXT(str, length)                                                                                          \
    if ((length) >= 0) {                                                                                               \
        (str) = tbg_str(text, (size_t)(length));                                                                       \
        text += (length);                                                                                              \
    }
    for (size_t i = 0; i < len; i++) {
        const tbg_item *item = &items[i];
        tbg_origin origin = {.high = item->high, .low = item->low, .flags = item->flags};
        tbg_question question = {.cost = item->cost, .flags = item->flags};
        TBG_NEXT(origin.authorization, item->authorization);
        TBG_NEXT(origin.forwarded, item->forwarded);
        TBG_NEXT(origin.real_ip, item->real_ip);
        TBG_NEXT(origin.forwarded_for, item->forwarded_for);
        TBG_NEXT(question.agent, item->agent);
        TBG_NEXT(question.service, item->service);
        requests[i] = tbg_request(&origin, headers[i]);
        questions[i] = tbg_asked(&question);
    }
#undef TBG_NEXT
    if (len) {
        decisions[0].size = sizeof *decisions;
    }
    tollbar_check_batch(engine, requests, questions, len, flags & TBG_NOW ? &now : NULL, decisions);
}

/* For the bench, and not inlined: what a call costs that does nothing, and what the engine takes for `n` decisions
 * without Go. */
void tbg_nothing(const tollbar_engine *engine, uint64_t high, uint64_t low, uint32_t flags, const char *auth,
                 size_t auth_len, const char *agent, size_t agent_len, const char *service, size_t service_len,
                 uint64_t cost, uint64_t now, tollbar_decision *decision);
uint64_t tbg_check_loop(const tollbar_engine *engine, const tollbar_ip_charge *of, size_t len, uint64_t n);

#endif
