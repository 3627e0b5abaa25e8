/* For the bench: see shim.h. */
#include "shim.h"

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
    uint64_t allowed = 0;
    for (uint64_t i = 0; i < n; i++) {
        const tollbar_ip_charge *charge = &of[i % len];
        tbg_check(engine, charge->high, charge->low, TBG_PEER, NULL, 0, "rum-js", 6, "shop", 4, charge->n, 0,
                  &decision);
        allowed += decision.allowed;
    }
    return allowed;
}
