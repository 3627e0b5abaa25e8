#include "shim.h"

void tbg_check(void *args)
{
    const tbg_check_args *call = args;
    tollbar_header headers[3];
    const tollbar_request request = tbg_request(&call->origin, headers);
    const tollbar_question question = tbg_asked(&call->question);
    call->decision->size = sizeof *call->decision;
    tollbar_check(call->engine, &request, &question, tbg_now(&call->at), call->decision);
}

void tbg_authenticate(void *args)
{
    const tbg_authenticate_args *call = args;
    tollbar_header headers[3];
    const tollbar_request request = tbg_request(&call->origin, headers);
    tollbar_authenticate(call->engine, &request, tbg_now(&call->at), call->client);
}

void tbg_client_decision(void *args)
{
    const tbg_client_args *call = args;
    call->decision->size = sizeof *call->decision;
    tollbar_client_decision(call->engine, call->client, call->decision);
}

void tbg_client_check(void *args)
{
    const tbg_client_args *call = args;
    const tollbar_question question = tbg_asked(&call->question);
    call->decision->size = sizeof *call->decision;
    tollbar_client_check(call->engine, call->client, &question, tbg_now(&call->at), call->decision);
}

void tbg_client_rum_route(void *args)
{
    const tbg_client_args *call = args;
    call->decision->size = sizeof *call->decision;
    tollbar_client_rum_route(call->engine, call->client, call->decision);
}

void tbg_client_authorize(void *args)
{
    const tbg_client_args *call = args;
    call->decision->size = sizeof *call->decision;
    tollbar_client_authorize(call->engine, call->client, (tollbar_action)(call->question.flags & TBG_ACTION),
                             call->question.agent, call->question.service, call->decision);
}

void tbg_client_reserve(void *args)
{
    const tbg_client_args *call = args;
    call->decision->size = sizeof *call->decision;
    tollbar_client_reserve(call->engine, call->client, call->n, call->max_wait, tbg_now(&call->at), call->decision);
}

void tbg_admit_ip(void *args)
{
    tbg_admit_ip_args *call = args;
    call->admission = tollbar_admit_ip(call->engine, call->high, call->low, call->n, tbg_now(&call->at));
}

/* For the bench: see shim.h. */
void tbg_nothing(const tollbar_engine *engine, uint64_t high, uint64_t low, uint32_t flags, const char *auth,
                 size_t auth_len, const char *agent, size_t agent_len, const char *service, size_t service_len,
                 uint64_t cost, uint64_t now, tollbar_decision *decision)
{
    (void)engine, (void)high, (void)low, (void)flags, (void)auth, (void)auth_len, (void)agent, (void)agent_len;
    (void)service, (void)service_len, (void)cost, (void)now, (void)decision;
}

uint64_t tbg_check_loop(const tollbar_engine *engine, const tollbar_ip_charge *of, size_t len, uint64_t n)
{
    tollbar_decision decision;
    tbg_check_args args = {.engine = engine, .decision = &decision};
    args.origin.flags = TBG_PEER;
    args.question.agent = tbg_str("rum-js", 6);
    args.question.service = tbg_str("shop", 4);
    uint64_t allowed = 0;
    for (uint64_t i = 0; i < n; i++) {
        const tollbar_ip_charge *charge = &of[i % len];
        args.origin.high = charge->high, args.origin.low = charge->low;
        args.question.cost = charge->n;
        tbg_check(&args);
        allowed += decision.allowed;
    }
    return allowed;
}
