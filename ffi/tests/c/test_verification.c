/* API keys: pending, and every way to wait for the verdict. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct verifier {
    atomic_int calls;
    atomic_int freed;
    /* The key `later` waits for this. */
    pthread_mutex_t gate;
    tollbar_verdict verdict;
    uint32_t privileges;
};

static bool is(tollbar_str text, const char *expected)
{
    return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

static tollbar_verdict verify(void *userdata, tollbar_str id, tollbar_str key, uint32_t *privileges)
{
    struct verifier *verifier = userdata;
    atomic_fetch_add(&verifier->calls, 1);
    assert_int_equal(*privileges, 0);
    if (is(id, "later")) {
        pthread_mutex_lock(&verifier->gate);
        pthread_mutex_unlock(&verifier->gate);
    } else if (!is(id, "ci") || !is(key, "correct-horse")) {
        return TOLLBAR_VERDICT_INVALID;
    }
    *privileges = verifier->privileges;
    return verifier->verdict;
}

static void freed(void *userdata)
{
    struct verifier *verifier = userdata;
    atomic_fetch_add(&verifier->freed, 1);
}

static struct verifier verifier;
static tollbar_engine *engine;
static tollbar_request request;
static tollbar_client client;
static tollbar_decision decision;

static int setup(void **state)
{
    (void)state;
    const tollbar_decision init = TOLLBAR_DECISION_INIT;
    decision = init;
    atomic_store(&verifier.calls, 0);
    atomic_store(&verifier.freed, 0);
    pthread_mutex_init(&verifier.gate, NULL);
    verifier.verdict = TOLLBAR_VERDICT_VALID;
    verifier.privileges = TOLLBAR_PRIVILEGE_EVENT_WRITE;
    engine = engine_of(SHOP);
    request = request_from("203.0.113.9");
    return tollbar_set_verifier(engine, verify, &verifier, freed, NULL) == TOLLBAR_STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    tollbar_engine_free(engine);
    // Once, however it ended.
    for (int i = 0; i < 1000 && atomic_load(&verifier.freed) == 0; i++) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&verifier.freed), 1);
    pthread_mutex_destroy(&verifier.gate);
    return 0;
}

static void assert_client(tollbar_reason reason, int http_status)
{
    assert_int_equal(tollbar_client_decision(engine, &client, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, reason, http_status);
}

static void test_a_check_never_blocks_and_verify_does(void **state)
{
    (void)state;
    tollbar_question question = shop();
    request.authorization = tollbar_str_of(CI_KEY);
    assert_int_equal(tollbar_check(engine, &request, &question, NULL, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_PENDING, 503);
    assert_int_equal(atomic_load(&verifier.calls), 0);
    assert_int_equal(tollbar_verify(engine, &request, NULL, &client), TOLLBAR_STATUS_OK);
    assert_client(TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(decision.method, TOLLBAR_METHOD_API_KEY);
    tollbar_client_authorize(engine, &client, TOLLBAR_ACTION_SOURCEMAP, question.agent, question.service, &decision);
    assert_decided(&decision, TOLLBAR_REASON_MISSING_PRIVILEGE, 403);
    // Known from now on, for a minute.
    assert_int_equal(tollbar_check(engine, &request, &question, NULL, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(atomic_load(&verifier.calls), 1);

    request.authorization = tollbar_str_of(WRONG_KEY);
    assert_int_equal(tollbar_check_blocking(engine, &request, &question, NULL, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_INVALID_API_KEY, 401);
    tollbar_stats stats = TOLLBAR_STATS_INIT;
    tollbar_engine_stats(engine, NULL, &stats);
    assert_int_equal(stats.verifications_started, 2);
    assert_int_equal(stats.valid_keys_held, 1);
    assert_int_equal(stats.invalid_keys_held, 1);
    // The refusal names the id, never the key.
    tollbar_refusal refusal = TOLLBAR_REFUSAL_INIT;
    size_t count = 0;
    tollbar_engine_refusals(engine, &refusal, 1, &count, NULL);
    assert_int_equal(count, 1);
    assert_string_equal(refusal.credential_id.data, "ci");
    assert_int_equal(tollbar_engine_verification_timeout(engine), 5 * SECOND);
}

static void test_a_started_verification_is_polled_and_waited_for(void **state)
{
    (void)state;
    tollbar_verification *verification = NULL;
    char credential[] = LATER_KEY;
    request.authorization = tollbar_str_of(credential);
    pthread_mutex_lock(&verifier.gate);
    assert_int_equal(tollbar_start_verification(engine, &request, NULL, &verification), TOLLBAR_STATUS_OK);
    // What it needs was copied.
    memset(credential, 'x', sizeof credential - 1);
    assert_int_equal(tollbar_verification_poll(verification, &client), TOLLBAR_STATUS_PENDING);
    assert_int_equal(tollbar_client_decision(engine, &client, &decision), TOLLBAR_STATUS_INVALID_CLIENT);
    assert_int_equal(tollbar_verification_wait(verification, 1000, &client), TOLLBAR_STATUS_PENDING);
    pthread_mutex_unlock(&verifier.gate);
    assert_int_equal(tollbar_verification_wait(verification, TOLLBAR_NEVER, &client), TOLLBAR_STATUS_OK);
    assert_client(TOLLBAR_REASON_ALLOWED, 202);
    tollbar_stats before = TOLLBAR_STATS_INIT;
    tollbar_engine_stats(engine, NULL, &before);
    assert_int_equal(tollbar_verification_poll(verification, &client), TOLLBAR_STATUS_OK);
    assert_int_equal(tollbar_verification_wait(verification, 0, &client), TOLLBAR_STATUS_OK);
    // Counted once, however often it is asked about.
    tollbar_stats after = TOLLBAR_STATS_INIT;
    tollbar_engine_stats(engine, NULL, &after);
    assert_int_equal(after.allowed[TOLLBAR_METHOD_API_KEY], before.allowed[TOLLBAR_METHOD_API_KEY]);
    tollbar_verification_free(verification);

    // Nothing to verify: it has ended already.
    request.authorization = tollbar_str_of("Bearer wrong");
    assert_int_equal(tollbar_start_verification(engine, &request, NULL, &verification), TOLLBAR_STATUS_OK);
    assert_int_equal(tollbar_verification_poll(verification, &client), TOLLBAR_STATUS_OK);
    assert_client(TOLLBAR_REASON_INVALID_TOKEN, 401);
    tollbar_verification_free(verification);
}

static void test_a_verification_may_outlive_its_engine(void **state)
{
    (void)state;
    tollbar_verification *verification = NULL;
    request.authorization = tollbar_str_of(LATER_KEY);
    pthread_mutex_lock(&verifier.gate);
    assert_int_equal(tollbar_start_verification(engine, &request, NULL, &verification), TOLLBAR_STATUS_OK);
    tollbar_engine_free(engine);
    engine = NULL;
    pthread_mutex_unlock(&verifier.gate);
    assert_int_equal(tollbar_verification_wait(verification, TOLLBAR_NEVER, &client), TOLLBAR_STATUS_OK);
    tollbar_verification_free(verification);
}

struct called {
    atomic_int times;
    tollbar_client client;
};

static void call(void *userdata, const tollbar_client *verified)
{
    struct called *called = userdata;
    called->client = *verified;
    atomic_fetch_add(&called->times, 1);
}

static void test_a_callback_is_called_once(void **state)
{
    (void)state;
    struct called called = {0};
    request.authorization = tollbar_str_of(LATER_KEY);
    pthread_mutex_lock(&verifier.gate);
    assert_int_equal(tollbar_verify_async(engine, &request, NULL, call, &called), TOLLBAR_STATUS_OK);
    assert_int_equal(atomic_load(&called.times), 0);
    pthread_mutex_unlock(&verifier.gate);
    for (int i = 0; i < 10000 && atomic_load(&called.times) == 0; i++) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&called.times), 1);
    client = called.client;
    assert_client(TOLLBAR_REASON_ALLOWED, 202);
    // At once, where there is nothing to verify.
    request.authorization = tollbar_str_of(NULL);
    assert_int_equal(tollbar_verify_async(engine, &request, NULL, call, &called), TOLLBAR_STATUS_OK);
    assert_int_equal(atomic_load(&called.times), 2);
    // Never, if the call fails.
    request.peer.family = 0;
    assert_int_equal(tollbar_verify_async(engine, &request, NULL, call, &called), TOLLBAR_STATUS_INVALID_ADDRESS);
    assert_int_equal(atomic_load(&called.times), 2);
}

static void test_an_answer_that_is_none_is_unavailable(void **state)
{
    (void)state;
    const struct {
        tollbar_verdict verdict;
        uint32_t privileges;
    } answers[] = {{TOLLBAR_VERDICT_UNAVAILABLE, 0}, {77, 2}, {TOLLBAR_VERDICT_VALID, 8}};
    request.authorization = tollbar_str_of(CI_KEY);
    for (size_t i = 0; i < 3; i++) {
        verifier.verdict = answers[i].verdict;
        verifier.privileges = answers[i].privileges;
        assert_int_equal(tollbar_verify(engine, &request, NULL, &client), TOLLBAR_STATUS_OK);
        assert_client(TOLLBAR_REASON_UNAVAILABLE, 503);
        char why[256];
        assert_true(tollbar_engine_verification_error(engine, why, sizeof why) > 10);
        assert_null(strstr(why, "horse"));
    }
    // No privilege at all: not valid.
    verifier.verdict = TOLLBAR_VERDICT_VALID;
    verifier.privileges = 0;
    assert_int_equal(tollbar_verify(engine, &request, NULL, &client), TOLLBAR_STATUS_OK);
    assert_client(TOLLBAR_REASON_INVALID_API_KEY, 401);
}

static void test_what_was_given_along_is_freed_also_where_the_call_fails(void **state)
{
    (void)state;
    struct verifier other = {0};
    assert_int_equal(tollbar_set_verifier(NULL, verify, &other, freed, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(atomic_load(&other.freed), 1);
    tollbar_error error = TOLLBAR_ERROR_INIT;
    error.size = 1;
    assert_int_equal(tollbar_set_verifier(engine, verify, &other, freed, &error), TOLLBAR_STATUS_INVALID_SIZE);
    assert_int_equal(atomic_load(&other.freed), 2);
    assert_int_equal(tollbar_set_verifier(engine, NULL, &other, freed, NULL), TOLLBAR_STATUS_OK);
    assert_int_equal(atomic_load(&other.freed), 3);
    // And none verifies now.
    request.authorization = tollbar_str_of(CI_KEY);
    assert_int_equal(tollbar_verify(engine, &request, NULL, &client), TOLLBAR_STATUS_OK);
    assert_client(TOLLBAR_REASON_INVALID_API_KEY, 401);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_check_never_blocks_and_verify_does),
        TEST(test_a_started_verification_is_polled_and_waited_for),
        TEST(test_a_verification_may_outlive_its_engine),
        TEST(test_a_callback_is_called_once),
        TEST(test_an_answer_that_is_none_is_unavailable),
        TEST(test_what_was_given_along_is_freed_also_where_the_call_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
