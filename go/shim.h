/*
 * What Go calls: the C ABI with its structs taken apart. Go memory that holds Go pointers must not be passed to C, so
 * every text comes as a pointer and a length of its own, and the structs are put together here, on the C stack. Nothing
 * is kept.
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

static inline void tbg_request(tollbar_request *request, uint64_t high, uint64_t low, uint32_t flags, const char *auth,
                               size_t auth_len)
{
    if (flags & TBG_PEER) {
        high = __builtin_bswap64(high);
        low = __builtin_bswap64(low);
        memcpy(request->peer.bytes, &high, 8);
        memcpy(request->peer.bytes + 8, &low, 8);
        request->peer.family = 6;
    }
    request->authorization = tbg_str(auth, auth_len);
}

/* The three headers that name a client, each joined to one value; NULL: it was not sent. */
static inline size_t tbg_headers(tollbar_header headers[3], const char *forwarded, size_t forwarded_len,
                                 const char *real_ip, size_t real_ip_len, const char *forwarded_for,
                                 size_t forwarded_for_len)
{
    size_t n = 0;
    if (forwarded) {
        headers[n].name = tbg_str("forwarded", 9);
        headers[n++].value = tbg_str(forwarded, forwarded_len);
    }
    if (real_ip) {
        headers[n].name = tbg_str("x-real-ip", 9);
        headers[n++].value = tbg_str(real_ip, real_ip_len);
    }
    if (forwarded_for) {
        headers[n].name = tbg_str("x-forwarded-for", 15);
        headers[n++].value = tbg_str(forwarded_for, forwarded_for_len);
    }
    return n;
}

static inline tollbar_question tbg_question(uint32_t flags, uint64_t cost, const char *agent, size_t agent_len,
                                            const char *service, size_t service_len)
{
    tollbar_question question = TOLLBAR_QUESTION_INIT;
    question.cost = cost;
    question.agent = tbg_str(agent, agent_len);
    question.service = tbg_str(service, service_len);
    question.action = (tollbar_action)(flags & TBG_ACTION);
    question.rum = (flags & TBG_RUM) != 0;
    return question;
}

static inline void tbg_check(const tollbar_engine *engine, uint64_t high, uint64_t low, uint32_t flags,
                             const char *auth, size_t auth_len, const char *agent, size_t agent_len,
                             const char *service, size_t service_len, uint64_t cost, uint64_t now,
                             tollbar_decision *decision)
{
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    tbg_request(&request, high, low, flags, auth, auth_len);
    tollbar_question question = tbg_question(flags, cost, agent, agent_len, service, service_len);
    decision->size = sizeof *decision;
    tollbar_check(engine, &request, &question, flags & TBG_NOW ? &now : NULL, decision);
}

static inline void tbg_check_forwarded(const tollbar_engine *engine, uint64_t high, uint64_t low, uint32_t flags,
                                       const char *auth, size_t auth_len, const char *forwarded, size_t forwarded_len,
                                       const char *real_ip, size_t real_ip_len, const char *forwarded_for,
                                       size_t forwarded_for_len, const char *agent, size_t agent_len,
                                       const char *service, size_t service_len, uint64_t cost, uint64_t now,
                                       tollbar_decision *decision)
{
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    tollbar_header headers[3];
    tbg_request(&request, high, low, flags, auth, auth_len);
    request.headers_len =
        tbg_headers(headers, forwarded, forwarded_len, real_ip, real_ip_len, forwarded_for, forwarded_for_len);
    request.headers = headers;
    tollbar_question question = tbg_question(flags, cost, agent, agent_len, service, service_len);
    decision->size = sizeof *decision;
    tollbar_check(engine, &request, &question, flags & TBG_NOW ? &now : NULL, decision);
}

static inline tollbar_status tbg_authenticate(const tollbar_engine *engine, uint64_t high, uint64_t low, uint32_t flags,
                                              const char *auth, size_t auth_len, const char *forwarded,
                                              size_t forwarded_len, const char *real_ip, size_t real_ip_len,
                                              const char *forwarded_for, size_t forwarded_for_len, uint64_t now,
                                              tollbar_client *client)
{
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    tollbar_header headers[3];
    tbg_request(&request, high, low, flags, auth, auth_len);
    request.headers_len =
        tbg_headers(headers, forwarded, forwarded_len, real_ip, real_ip_len, forwarded_for, forwarded_for_len);
    request.headers = headers;
    return tollbar_authenticate(engine, &request, flags & TBG_NOW ? &now : NULL, client);
}

/* Go knows no const. */
void tbg_verified(void *userdata, tollbar_client *client);

/* As tbg_authenticate(), but calls back; `token` is what Go knows the call by. */
static inline tollbar_status tbg_verify(const tollbar_engine *engine, uint64_t high, uint64_t low, uint32_t flags,
                                        const char *auth, size_t auth_len, const char *forwarded, size_t forwarded_len,
                                        const char *real_ip, size_t real_ip_len, const char *forwarded_for,
                                        size_t forwarded_for_len, uint64_t now, uintptr_t token)
{
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    tollbar_header headers[3];
    tbg_request(&request, high, low, flags, auth, auth_len);
    request.headers_len =
        tbg_headers(headers, forwarded, forwarded_len, real_ip, real_ip_len, forwarded_for, forwarded_for_len);
    request.headers = headers;
    return tollbar_verify_async(engine, &request, flags & TBG_NOW ? &now : NULL, (tollbar_verified_fn)tbg_verified,
                                (void *)token);
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

static inline void tbg_client_decision(const tollbar_engine *engine, const tollbar_client *client,
                                       tollbar_decision *decision)
{
    decision->size = sizeof *decision;
    tollbar_client_decision(engine, client, decision);
}

static inline void tbg_client_check(const tollbar_engine *engine, const tollbar_client *client, uint32_t flags,
                                    const char *agent, size_t agent_len, const char *service, size_t service_len,
                                    uint64_t cost, uint64_t now, tollbar_decision *decision)
{
    tollbar_question question = tbg_question(flags, cost, agent, agent_len, service, service_len);
    decision->size = sizeof *decision;
    tollbar_client_check(engine, client, &question, flags & TBG_NOW ? &now : NULL, decision);
}

static inline void tbg_client_rum_route(const tollbar_engine *engine, const tollbar_client *client,
                                        tollbar_decision *decision)
{
    decision->size = sizeof *decision;
    tollbar_client_rum_route(engine, client, decision);
}

static inline void tbg_client_authorize(const tollbar_engine *engine, const tollbar_client *client, uint32_t flags,
                                        const char *agent, size_t agent_len, const char *service, size_t service_len,
                                        tollbar_decision *decision)
{
    decision->size = sizeof *decision;
    tollbar_client_authorize(engine, client, (tollbar_action)(flags & TBG_ACTION), tbg_str(agent, agent_len),
                             tbg_str(service, service_len), decision);
}

static inline void tbg_client_reserve(const tollbar_engine *engine, const tollbar_client *client, uint32_t flags,
                                      uint64_t n, uint64_t max_wait, uint64_t now, tollbar_decision *decision)
{
    decision->size = sizeof *decision;
    tollbar_client_reserve(engine, client, n, max_wait, flags & TBG_NOW ? &now : NULL, decision);
}

static inline tollbar_admission tbg_admit_ip(const tollbar_engine *engine, uint64_t high, uint64_t low, uint32_t flags,
                                             uint64_t n, uint64_t now)
{
    return tollbar_admit_ip(engine, high, low, n, flags & TBG_NOW ? &now : NULL);
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
    int64_t auth, forwarded, real_ip, forwarded_for, agent, service; /* lengths */
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
    const tollbar_request none = TOLLBAR_REQUEST_INIT;
#define TBG_NEXT(length) ((length) < 0 ? NULL : text), (size_t)((length) < 0 ? 0 : (length))
#define TBG_SKIP(length) (text += (length) < 0 ? 0 : (length))
    for (size_t i = 0; i < len; i++) {
        const tbg_item *item = &items[i];
        requests[i] = none;
        tbg_request(&requests[i], item->high, item->low, item->flags, TBG_NEXT(item->auth));
        TBG_SKIP(item->auth);
        const char *forwarded = text, *real_ip = TBG_SKIP(item->forwarded), *forwarded_for = TBG_SKIP(item->real_ip);
        requests[i].headers_len =
            tbg_headers(headers[i], item->forwarded < 0 ? NULL : forwarded, (size_t)item->forwarded,
                        item->real_ip < 0 ? NULL : real_ip, (size_t)item->real_ip,
                        item->forwarded_for < 0 ? NULL : forwarded_for, (size_t)item->forwarded_for);
        requests[i].headers = headers[i];
        TBG_SKIP(item->forwarded_for);
        const char *agent = text, *service = TBG_SKIP(item->agent);
        questions[i] = tbg_question(item->flags, item->cost, item->agent < 0 ? NULL : agent,
                                    item->agent < 0 ? 0 : (size_t)item->agent, item->service < 0 ? NULL : service,
                                    item->service < 0 ? 0 : (size_t)item->service);
        TBG_SKIP(item->service);
    }
#undef TBG_NEXT
#undef TBG_SKIP
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
