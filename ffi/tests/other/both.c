/* A program of two static libraries in Rust. */
#include <tollbar.h>

int other_answer(void);

int main(void)
{
    tollbar_engine *engine = NULL;
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    if (other_answer() != 7 ||
        tollbar_engine_from_yaml(tollbar_str_of("apm-server.auth.secret_token: abcdefgh"), &engine, NULL) ||
        tollbar_ip_parse(tollbar_str_of("203.0.113.9"), &request.peer) ||
        tollbar_check(engine, &request, NULL, NULL, &decision)) {
        return 1;
    }
    tollbar_engine_free(engine);
    return decision.http_status == 401 && other_answer() == 7 ? 0 : 2;
}
