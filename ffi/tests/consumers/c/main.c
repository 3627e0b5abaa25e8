/* A consumer that knows nothing of the tree. */
#include <stdio.h>
#include <string.h>
#include <tollbar.h>

int main(void)
{
    tollbar_engine *engine = NULL;
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    if (tollbar_abi_version() != TOLLBAR_ABI_VERSION ||
        tollbar_engine_from_yaml(tollbar_str_of("apm-server.auth.secret_token: abcdefgh"), &engine, NULL) !=
            TOLLBAR_STATUS_OK ||
        tollbar_ip_parse(tollbar_str_of("203.0.113.9:443"), &request.peer) != TOLLBAR_STATUS_OK) {
        return 1;
    }
    request.authorization = tollbar_str_of("Bearer abcdefgh");
    tollbar_check(engine, &request, NULL, NULL, &decision);
    tollbar_engine_free(engine);
    printf("C, Tollbar %s: %s\n", tollbar_version(), tollbar_reason_str(decision.reason));
    return !decision.allowed;
}
