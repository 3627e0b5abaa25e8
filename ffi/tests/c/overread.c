/* Shows that AddressSanitizer watches the library, too: it is told of more bytes than there are, and must be caught
 * reading them. */
#include <stdlib.h>
#include <string.h>
#include <tollbar.h>

int main(void)
{
    tollbar_engine *engine = NULL;
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    char *credential = malloc(20);
    if (!credential || tollbar_engine_from_yaml(tollbar_str_of("apm-server.auth.secret_token: t"), &engine, NULL)) {
        return 0;
    }
    memcpy(credential, "Bearer aaaaaaaaaaaaa", 20);
    request.peer = tollbar_ip_v4("\1\2\3\4");
    request.authorization.data = credential;
    request.authorization.len = 21;
    tollbar_check(engine, &request, NULL, NULL, &decision);
    return 0;
}
