/* Any number, any bytes, and what is kept longer than it should be: nothing is allowed by it, and nothing goes wrong
 * inside. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

/* Numbers at which arithmetic turns over. */
static const uint64_t NUMBERS[] = {
    0,
    1,
    2,
    29,
    30,
    31,
    SECOND - 1,
    SECOND,
    SECOND + 1,
    UINT32_MAX - UINT64_C(1),
    UINT32_MAX,
    UINT32_MAX + UINT64_C(1),
    (UINT64_C(1) << 33) + 1,
    INT64_MAX - UINT64_C(1),
    INT64_MAX,
    INT64_MAX + UINT64_C(1),
    UINT64_MAX - SECOND,
    UINT64_MAX - 1,
    UINT64_MAX,
};
enum { COUNT = sizeof NUMBERS / sizeof *NUMBERS };

static uint64_t seed = 88172645463325252;

static uint64_t random_number(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void test_any_cost_at_any_instant_is_decided(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++) {
            tollbar_engine *engine = engine_of(SHOP);
            tollbar_request request = request_from("203.0.113.9");
            tollbar_question question = shop();
            tollbar_decision decision = TOLLBAR_DECISION_INIT;
            tollbar_client client;
            uint64_t now = NUMBERS[i];
            question.cost = NUMBERS[j];
            decision = check(engine, &request, &question, now);
            if (question.cost <= 30) {
                assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
            } else {
                assert_decided(&decision, TOLLBAR_REASON_EXCEEDS_BURST, 429);
                assert_true(decision.retry_after_ns == TOLLBAR_NEVER);
                assert_int_equal(decision.retry_after_s, 0);
            }
            assert_int_equal(tollbar_authenticate(engine, &request, &now, &client), TOLLBAR_STATUS_OK);
            for (size_t k = 0; k < COUNT; k++) {
                assert_int_equal(
                    tollbar_client_reserve(engine, &client, NUMBERS[j], NUMBERS[k], &NUMBERS[i], &decision),
                    TOLLBAR_STATUS_OK);
                assert_true(NUMBERS[j] <= 30 || !decision.allowed);
                assert_true(decision.wait_ns <= NUMBERS[k]);
                // A clock that jumps, too.
                assert_int_equal(tollbar_client_admit(engine, &client, NUMBERS[j], &NUMBERS[k], &decision),
                                 TOLLBAR_STATUS_OK);
                assert_true(NUMBERS[j] <= 30 || !decision.allowed);
                assert_true(tollbar_decision_remaining(&decision) <= 30);
            }
            tollbar_stats stats = TOLLBAR_STATS_INIT;
            assert_int_equal(tollbar_engine_stats(engine, &NUMBERS[j], &stats), TOLLBAR_STATUS_OK);
            assert_true(stats.live_counters <= 1);
            tollbar_engine_free(engine);
        }
    }
}

static void test_extreme_limits_are_limits(void **state)
{
    (void)state;
    // Of any number, a configuration comes of it or a problem.
    const uint32_t limits[] = {0, 1, 2, 1000, 1000000, 100000000, INT32_MAX, UINT32_MAX - 1, UINT32_MAX};
    for (size_t i = 0; i < 9; i++) {
        for (size_t j = 0; j < 9; j++) {
            tollbar_config config = TOLLBAR_CONFIG_INIT;
            tollbar_engine *engine = NULL;
            tollbar_str token = tollbar_str_of("correct-horse");
            config.secret_tokens = &token;
            config.secret_tokens_len = 1;
            config.anonymous = TOLLBAR_SWITCH_ON;
            config.any_agent = true;
            config.ip_limit = 1;
            config.event_limit = limits[i];
            config.burst_multiplier = limits[j];
            tollbar_status status = tollbar_engine_from_config(&config, &engine, NULL);
            if (status == TOLLBAR_STATUS_CONFIG) {
                assert_null(engine);
                continue;
            }
            assert_int_equal(status, TOLLBAR_STATUS_OK);
            tollbar_request request = request_from("203.0.113.9");
            tollbar_decision decision = check(engine, &request, NULL, 0);
            uint64_t burst = tollbar_decision_burst(&decision);
            assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
            assert_true(burst == (uint64_t)decision.event_limit * decision.burst_multiplier);
            assert_true(tollbar_decision_remaining(&decision) == burst - 1);
            tollbar_question question = TOLLBAR_QUESTION_INIT;
            question.cost = burst;
            decision = check(engine, &request, &question, 0);
            assert_decided(&decision, TOLLBAR_REASON_RATE_LIMITED, 429);
            question.cost = burst - 1;
            decision = check(engine, &request, &question, 0);
            assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
            assert_true(tollbar_decision_remaining(&decision) == 0);
            tollbar_engine_free(engine);
        }
    }
}

/* Uninitialised memory as a size: an error, not a walk through all of memory. */
static void test_sizes_that_no_struct_will_have_are_errors(void **state)
{
    (void)state;
    tollbar_engine *engine = engine_of(SHOP);
    const size_t sizes[] = {65537, UINT32_MAX, (size_t)1 << 40, (size_t)0xaaaaaaaaaaaaaaa8, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tollbar_request request = request_from("203.0.113.9");
        tollbar_question question = shop();
        tollbar_decision decision = TOLLBAR_DECISION_INIT;
        request.size = sizes[i];
        assert_int_equal(tollbar_check(engine, &request, &question, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
        assert_undecided(&decision, TOLLBAR_STATUS_INVALID_SIZE);
        assert_int_equal(tollbar_check_batch(engine, &request, NULL, 1, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
        request = request_from("203.0.113.9");
        question.size = sizes[i];
        assert_int_equal(tollbar_check(engine, &request, &question, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
        assert_undecided(&decision, TOLLBAR_STATUS_INVALID_SIZE);
        decision.size = sizes[i];
        assert_int_equal(tollbar_check(engine, &request, NULL, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
        assert_int_equal(tollbar_check_batch(engine, &request, NULL, 1, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
        assert_int_equal(decision.size, sizes[i]);
        assert_true(tollbar_decision_remaining(&decision) == TOLLBAR_NEVER);

        tollbar_stats stats = TOLLBAR_STATS_INIT;
        stats.size = sizes[i];
        assert_int_equal(tollbar_engine_stats(engine, NULL, &stats), TOLLBAR_STATUS_INVALID_SIZE);
        tollbar_refusal refusal = TOLLBAR_REFUSAL_INIT;
        size_t count = 1;
        refusal.size = sizes[i];
        assert_int_equal(tollbar_engine_refusals(engine, &refusal, 1, &count, NULL), TOLLBAR_STATUS_INVALID_SIZE);
        assert_int_equal(count, 0);
        tollbar_config config = TOLLBAR_CONFIG_INIT;
        tollbar_engine *made = NULL;
        config.size = sizes[i];
        assert_int_equal(tollbar_engine_from_config(&config, &made, NULL), TOLLBAR_STATUS_INVALID_SIZE);
        assert_int_equal(tollbar_reload_config(engine, &config, NULL, NULL), TOLLBAR_STATUS_INVALID_SIZE);
        tollbar_error error = TOLLBAR_ERROR_INIT;
        error.size = sizes[i];
        assert_int_equal(tollbar_engine_from_yaml(tollbar_str_of(""), &made, &error), TOLLBAR_STATUS_INVALID_SIZE);
        assert_null(made);
    }
    tollbar_engine_free(engine);
}

/* What is asked about a decision is answered from its numbers alone, whatever they are. */
static void test_a_decision_of_any_bytes_can_be_asked(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        tollbar_decision decision = TOLLBAR_DECISION_INIT;
        uint64_t *words = (uint64_t *)(void *)&decision;
        for (size_t j = 1; j < sizeof decision / sizeof *words; j++) {
            words[j] = i % 3 ? random_number() : NUMBERS[random_number() % COUNT];
        }
        if (i % 2) {
            decision.reason = (tollbar_reason)(1 + random_number() % 15);
            decision.action = (tollbar_action)(random_number() % 3);
        }
        char text[TOLLBAR_MESSAGE];
        size_t len =
            tollbar_decision_message(&decision, tollbar_str_of("\xff"), tollbar_str_of("shop"), text, sizeof text);
        assert_true(len > 0 && len < sizeof text);
        assert_int_equal(strlen(text), len);
        assert_true(tollbar_decision_burst(&decision) > 0);
        (void)tollbar_decision_remaining(&decision);
        (void)tollbar_decision_www_authenticate(&decision);
        len = tollbar_client_text(decision.client, decision.client_prefix, text, TOLLBAR_CLIENT_TEXT);
        assert_true(len > 0 && len < TOLLBAR_CLIENT_TEXT);
        assert_int_equal(strlen(text), len);
    }
}

static void test_any_text_is_an_address_or_none(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789abcdef.:[]%/ -xX\xff";
    for (int i = 0; i < 20000; i++) {
        char text[48];
        tollbar_str str = {text, random_number() % sizeof text};
        for (size_t j = 0; j < str.len; j++) {
            text[j] = alphabet[random_number() % (sizeof alphabet - 1)];
        }
        tollbar_ip ip = {{1}, 77};
        tollbar_status status = tollbar_ip_parse(str, &ip);
        if (status == TOLLBAR_STATUS_OK) {
            assert_true(ip.family == 4 || ip.family == 6);
        } else {
            assert_true(status == TOLLBAR_STATUS_INVALID_ADDRESS || status == TOLLBAR_STATUS_INVALID_UTF8);
            assert_int_equal(ip.family, 0);
        }
    }
}

static void test_any_bytes_are_a_configuration_or_told(void **state)
{
    (void)state;
    size_t len = strlen(SHOP);
    char *yaml = malloc(len);
    for (int i = 0; i < 2000; i++) {
        memcpy(yaml, SHOP, len);
        for (int j = 0; j < 3; j++) {
            yaml[random_number() % len] = (char)random_number();
        }
        tollbar_error error = TOLLBAR_ERROR_INIT;
        tollbar_engine *engine = NULL;
        char text[256];
        error.text = text;
        error.text_capacity = sizeof text;
        tollbar_str str = {yaml, len};
        tollbar_status status = tollbar_engine_from_yaml(str, &engine, &error);
        assert_int_equal(error.status, status);
        assert_true((engine != NULL) == (status == TOLLBAR_STATUS_OK));
        assert_true(status == TOLLBAR_STATUS_OK || error.text_len > 0);
        assert_true(status == TOLLBAR_STATUS_OK || status == TOLLBAR_STATUS_CONFIG ||
                    status == TOLLBAR_STATUS_INVALID_UTF8);
        tollbar_engine_free(engine);
    }
    free(yaml);
}

/* A program that keeps clients for longer than their engine: the next engine often lies at the same address. */
static void test_a_client_of_an_engine_that_was_freed_gets_in_nowhere(void **state)
{
    (void)state;
    tollbar_request request = request_from("203.0.113.9");
    int same = 0;
    for (int i = 0; i < 50; i++) {
        tollbar_engine *open = engine_of("");
        const void *before = open;
        tollbar_client client;
        assert_int_equal(tollbar_authenticate(open, &request, NULL, &client), TOLLBAR_STATUS_OK);
        tollbar_engine_free(open);
        tollbar_engine *closed = engine_of("apm-server.auth.secret_token: correct-horse");
        same += before == (const void *)closed;
        tollbar_decision decision = TOLLBAR_DECISION_INIT;
        const uint64_t n = 1;
        assert_int_equal(tollbar_client_decision(closed, &client, &decision), TOLLBAR_STATUS_INVALID_CLIENT);
        assert_undecided(&decision, TOLLBAR_STATUS_INVALID_CLIENT);
        assert_int_equal(tollbar_client_authorize(closed, &client, TOLLBAR_ACTION_INGEST, (tollbar_str)TOLLBAR_STR_NULL,
                                                  (tollbar_str)TOLLBAR_STR_NULL, &decision),
                         TOLLBAR_STATUS_INVALID_CLIENT);
        assert_undecided(&decision, TOLLBAR_STATUS_INVALID_CLIENT);
        assert_int_equal(tollbar_admit_batch(closed, &client, &n, 1, NULL, &decision), TOLLBAR_STATUS_INVALID_CLIENT);
        assert_undecided(&decision, TOLLBAR_STATUS_INVALID_CLIENT);
        tollbar_engine_free(closed);
    }
    print_message("the same address %d times of 50\n", same);
}

/* Elasticsearch that is not there: nobody is let in by it, and why is told. */
static void test_a_key_that_can_not_be_verified_is_unavailable(void **state)
{
    (void)state;
    // Port 1 of this machine: refused at once.
    tollbar_engine *engine = engine_of("apm-server.auth.api_key:\n"
                                       "  enabled: true\n"
                                       "  elasticsearch: {hosts: ['http://127.0.0.1:1'], timeout: 5s}\n");
    tollbar_request request = request_from("203.0.113.9");
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    request.authorization = tollbar_str_of(CI_KEY);
    assert_int_equal(tollbar_check_blocking(engine, &request, NULL, NULL, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_UNAVAILABLE, 503);
    char why[512];
    assert_true(tollbar_engine_verification_error(engine, why, sizeof why) > 0);
    assert_null(strstr(why, "horse"));
    tollbar_stats stats = TOLLBAR_STATS_INIT;
    assert_int_equal(tollbar_engine_stats(engine, NULL, &stats), TOLLBAR_STATUS_OK);
    assert_int_equal(stats.verifications_unavailable, 1);
    assert_int_equal(stats.valid_keys_held + stats.invalid_keys_held, 0);
    tollbar_engine_free(engine);
}

static atomic_int calls;
static atomic_bool open_gate;

static tollbar_verdict gated(void *userdata, tollbar_str id, tollbar_str key, uint32_t *privileges)
{
    (void)userdata;
    (void)id;
    (void)key;
    atomic_fetch_add(&calls, 1);
    while (!atomic_load(&open_gate)) {
    }
    *privileges = TOLLBAR_PRIVILEGE_EVENT_WRITE;
    return TOLLBAR_VERDICT_VALID;
}

static void *wait_for_it(void *argument)
{
    tollbar_client *client = malloc(sizeof *client);
    tollbar_status status = tollbar_verification_wait(argument, TOLLBAR_NEVER, client);
    if (status != TOLLBAR_STATUS_OK) {
        free(client);
        return NULL;
    }
    return client;
}

static void test_many_threads_wait_for_one_verification(void **state)
{
    (void)state;
    enum { THREADS = 8 };
    tollbar_engine *engine = engine_of(SHOP);
    tollbar_request request = request_from("203.0.113.9");
    tollbar_verification *verifications[2] = {NULL, NULL};
    pthread_t threads[THREADS];
    request.authorization = tollbar_str_of(CI_KEY);
    assert_int_equal(tollbar_set_verifier(engine, gated, NULL, NULL, NULL), TOLLBAR_STATUS_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(tollbar_start_verification(engine, &request, NULL, &verifications[i]), TOLLBAR_STATUS_OK);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, verifications[i % 2]), 0);
    }
    atomic_store(&open_gate, true);
    for (size_t i = 0; i < THREADS; i++) {
        void *client = NULL;
        tollbar_decision decision = TOLLBAR_DECISION_INIT;
        assert_int_equal(pthread_join(threads[i], &client), 0);
        assert_non_null(client);
        assert_int_equal(tollbar_client_decision(engine, client, &decision), TOLLBAR_STATUS_OK);
        assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
        free(client);
    }
    // One key, one call.
    assert_int_equal(atomic_load(&calls), 1);
    tollbar_verification_free(verifications[0]);
    tollbar_verification_free(verifications[1]);
    tollbar_engine_free(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cost_at_any_instant_is_decided),
        cmocka_unit_test(test_extreme_limits_are_limits),
        cmocka_unit_test(test_sizes_that_no_struct_will_have_are_errors),
        cmocka_unit_test(test_a_decision_of_any_bytes_can_be_asked),
        cmocka_unit_test(test_any_text_is_an_address_or_none),
        cmocka_unit_test(test_any_bytes_are_a_configuration_or_told),
        cmocka_unit_test(test_a_client_of_an_engine_that_was_freed_gets_in_nowhere),
        cmocka_unit_test(test_a_key_that_can_not_be_verified_is_unavailable),
        cmocka_unit_test(test_many_threads_wait_for_one_verification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
