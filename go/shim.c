/* The one function that must not be inlined: see shim.h. */
#include "shim.h"

void tbg_nothing(const tollbar_engine *engine, uint64_t high, uint64_t low, uint32_t flags, const char *auth,
                 size_t auth_len, const char *agent, size_t agent_len, const char *service, size_t service_len,
                 uint64_t cost, uint64_t now, tollbar_decision *decision)
{
    (void)engine, (void)high, (void)low, (void)flags, (void)auth, (void)auth_len, (void)agent, (void)agent_len;
    (void)service, (void)service_len, (void)cost, (void)now, (void)decision;
}
