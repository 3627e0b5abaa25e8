/* Threads that check, admit, verify, read statistics and reload on one engine, and drop their clients as they go. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

/* TOLLBAR_TEST_ROUNDS: fewer under valgrind. */
static int rounds(void)
{
    const char *given = getenv("TOLLBAR_TEST_ROUNDS");
    return given ? atoi(given) : 20000;
}

static tollbar_engine *engine;
static atomic_bool done;

static tollbar_verdict verify(void *userdata, tollbar_str id, tollbar_str key, uint32_t *privileges)
{
    (void)userdata;
    (void)key;
    *privileges = TOLLBAR_PRIVILEGE_EVENT_WRITE;
    return id.len == 2 ? TOLLBAR_VERDICT_VALID : TOLLBAR_VERDICT_INVALID;
}

/* Whatever the configuration says just now, each answer is one of those that some configuration gives. */
static bool plausible(const tollbar_decision *decision)
{
    switch (decision->reason) {
    case TOLLBAR_REASON_ALLOWED:
        return decision->allowed && decision->http_status == 202;
    case TOLLBAR_REASON_RATE_LIMITED:
    case TOLLBAR_REASON_EXCEEDS_BURST:
        return !decision->allowed && decision->http_status == 429;
    case TOLLBAR_REASON_INVALID_TOKEN:
    case TOLLBAR_REASON_INVALID_API_KEY:
    case TOLLBAR_REASON_MISSING_CREDENTIAL:
        return !decision->allowed && decision->http_status == 401;
    case TOLLBAR_REASON_PENDING:
    case TOLLBAR_REASON_UNAVAILABLE:
        return !decision->allowed && decision->http_status == 503;
    default:
        return false;
    }
}

#define ENSURE(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void *work(void *argument)
{
    uintptr_t thread = (uintptr_t)argument;
    tollbar_question question = shop();
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    tollbar_decision decisions[64] = {TOLLBAR_DECISION_INIT};
    tollbar_request requests[64];
    const char *credentials[] = {NULL, "Bearer correct-horse", "Bearer wrong", CI_KEY};
    for (size_t i = 0; i < 64; i++) {
        const tollbar_request init = TOLLBAR_REQUEST_INIT;
        const unsigned char peer[4] = {203, 0, (unsigned char)thread, (unsigned char)i};
        requests[i] = init;
        requests[i].peer = tollbar_ip_v4(peer);
        requests[i].authorization = tollbar_str_of(credentials[i % 4]);
    }
    for (int i = 0; i < rounds(); i++) {
        tollbar_request *request = &requests[i % 64];
        ENSURE(tollbar_check(engine, request, &question, NULL, &decision) == TOLLBAR_STATUS_OK);
        ENSURE(plausible(&decision));
        tollbar_client client;
        ENSURE(tollbar_authenticate(engine, request, NULL, &client) == TOLLBAR_STATUS_OK);
        ENSURE(tollbar_client_admit(engine, &client, 2, NULL, &decision) == TOLLBAR_STATUS_OK);
        ENSURE(plausible(&decision));
        if (i % 64 == 0) {
            ENSURE(tollbar_check_batch(engine, requests, NULL, 64, NULL, decisions) == TOLLBAR_STATUS_OK);
            ENSURE(decisions[63].size == sizeof decision);
        }
        if (i % 100 == 0) {
            tollbar_verification *verification = NULL;
            ENSURE(tollbar_start_verification(engine, &requests[3], NULL, &verification) == TOLLBAR_STATUS_OK);
            ENSURE(i % 200 || tollbar_verification_wait(verification, TOLLBAR_NEVER, &client) == TOLLBAR_STATUS_OK);
            tollbar_verification_free(verification);
        }
        if (i % 500 == 0) {
            tollbar_stats stats = TOLLBAR_STATS_INIT;
            ENSURE(tollbar_engine_stats(engine, NULL, &stats) == TOLLBAR_STATUS_OK);
            char page[64];
            ENSURE(tollbar_engine_prometheus(engine, page, sizeof page) > sizeof page);
        }
    }
    return NULL;
}

static void *reload(void *argument)
{
    (void)argument;
    const char *configurations[] = {
        "{apm-server.auth.secret_token: correct-horse, apm-server.auth.api_key.enabled: true, "
        "apm-server.auth.anonymous: {enabled: true, allow_agent: [], rate_limit: {ip_limit: 50, event_limit: 5}}}",
        "{apm-server.auth.secret_token: other-horse, apm-server.auth.api_key.enabled: true, "
        "apm-server.auth.anonymous: {enabled: true, allow_agent: [], rate_limit: {ip_limit: 300, event_limit: 50}}}",
        "{apm-server.auth.secret_token: [correct-horse, x-horse], apm-server.auth.api_key: {enabled: true, limit: 7}, "
        "apm-server.auth.anonymous.enabled: false}",
        "apm-server.auth.secret_tokn: wrong",
    };
    for (unsigned i = 0; !atomic_load(&done); i++) {
        char text[512];
        tollbar_error error = TOLLBAR_ERROR_INIT;
        error.text = text;
        error.text_capacity = sizeof text;
        tollbar_status status = tollbar_reload_yaml(engine, tollbar_str_of(configurations[i % 4]), NULL, &error);
        ENSURE(status == (i % 4 == 3 ? TOLLBAR_STATUS_CONFIG : TOLLBAR_STATUS_OK));
        if (i % 16 == 0) {
            ENSURE(tollbar_set_verifier(engine, verify, NULL, NULL, NULL) == TOLLBAR_STATUS_OK);
        }
    }
    return NULL;
}

static void test_threads_share_an_engine_that_is_reloaded(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t workers[THREADS];
    pthread_t reloader;
    engine = engine_of("{apm-server.auth.secret_token: correct-horse, apm-server.auth.api_key.enabled: true, "
                       "apm-server.auth.anonymous: {enabled: true, allow_agent: []}}");
    assert_int_equal(tollbar_set_verifier(engine, verify, NULL, NULL, NULL), TOLLBAR_STATUS_OK);
    atomic_store(&done, false);
    assert_int_equal(pthread_create(&reloader, NULL, reload, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&workers[i], NULL, work, (void *)i), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i], NULL), 0);
    }
    atomic_store(&done, true);
    assert_int_equal(pthread_join(reloader, NULL), 0);
    tollbar_stats stats = TOLLBAR_STATS_INIT;
    assert_int_equal(tollbar_engine_stats(engine, NULL, &stats), TOLLBAR_STATUS_OK);
    assert_true(stats.generation > 1);
    tollbar_engine_free(engine);
}

static void *live(void *argument)
{
    (void)argument;
    for (int i = 0; i < 1 + rounds() / 100; i++) {
        tollbar_engine *own = NULL;
        ENSURE(tollbar_engine_from_yaml(tollbar_str_of(SHOP), &own, NULL) == TOLLBAR_STATUS_OK);
        tollbar_request request = TOLLBAR_REQUEST_INIT;
        tollbar_verification *verification = NULL;
        tollbar_client client;
        request.peer = tollbar_ip_v4("\x01\x02\x03\x04");
        request.authorization = tollbar_str_of(CI_KEY);
        ENSURE(tollbar_set_verifier(own, verify, NULL, NULL, NULL) == TOLLBAR_STATUS_OK);
        ENSURE(tollbar_start_verification(own, &request, NULL, &verification) == TOLLBAR_STATUS_OK);
        tollbar_engine_free(own);
        ENSURE(tollbar_verification_wait(verification, TOLLBAR_NEVER, &client) == TOLLBAR_STATUS_OK);
        tollbar_verification_free(verification);
    }
    return NULL;
}

static void test_engines_come_and_go_in_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, live, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_share_an_engine_that_is_reloaded),
        cmocka_unit_test(test_engines_come_and_go_in_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
