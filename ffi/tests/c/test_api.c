/* What each function promises, asked as it should be. */
#include "support.h"

#include <unistd.h>

static void test_the_library_tells_what_it_is(void **state)
{
    (void)state;
    assert_int_equal(tollbar_abi_version(), TOLLBAR_ABI_VERSION);
    assert_string_equal(tollbar_version(), TOLLBAR_TEST_VERSION);
    assert_true(tollbar_has_feature(tollbar_str_of("watch")));
    assert_true(tollbar_has_feature(tollbar_str_of("elasticsearch")));
    assert_true(tollbar_has_feature(tollbar_str_of("prometheus")));
    assert_false(tollbar_has_feature(tollbar_str_of("flight")));
    assert_false(tollbar_has_feature(tollbar_str_of(NULL)));
    assert_string_equal(tollbar_status_str(TOLLBAR_STATUS_OK), "ok");
    for (tollbar_status status = 0; status <= TOLLBAR_STATUS_PANIC; status++) {
        assert_string_not_equal(tollbar_status_str(status), "an unknown status");
    }
    assert_string_equal(tollbar_status_str(12345), "an unknown status");
    assert_string_equal(tollbar_reason_str(200), "undecided");
    assert_string_equal(tollbar_method_str(200), "unidentified");
    assert_string_equal(tollbar_action_str(200), "unknown");
}

static void test_a_request_is_decided_with_all_that_a_server_answers(void **state)
{
    (void)state;
    tollbar_engine *engine = engine_of(SHOP);
    tollbar_request request = request_from("203.0.113.9");
    tollbar_question question = shop();
    tollbar_decision decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(decision.method, TOLLBAR_METHOD_ANONYMOUS);
    assert_int_equal(decision.grpc_status, 0);
    assert_int_equal(decision.generation, 1);
    assert_int_equal(tollbar_decision_remaining(&decision), 29);
    assert_int_equal(tollbar_decision_burst(&decision), 30);
    assert_int_equal(decision.event_limit, 10);
    assert_null(tollbar_decision_www_authenticate(&decision));
    char client[TOLLBAR_CLIENT_TEXT];
    assert_int_equal(tollbar_client_text(decision.client, decision.client_prefix, client, sizeof client), 11);
    assert_string_equal(client, "203.0.113.9");

    question.cost = 30;
    decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_RATE_LIMITED, 429);
    assert_int_equal(decision.grpc_status, 8);
    assert_int_equal(decision.retry_after_ns, SECOND / 10);
    assert_int_equal(decision.retry_after_s, 1);
    question.cost = 31;
    decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_EXCEEDS_BURST, 429);
    assert_true(decision.retry_after_ns == TOLLBAR_NEVER);
    assert_int_equal(decision.retry_after_s, 0);

    request.authorization = tollbar_str_of("Bearer wrong");
    decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_INVALID_TOKEN, 401);
    assert_int_equal(decision.grpc_status, 16);
    assert_string_equal(tollbar_decision_www_authenticate(&decision),
                        "Bearer realm=\"tollbar\", ApiKey realm=\"tollbar\"");
    assert_true(tollbar_decision_remaining(&decision) == TOLLBAR_NEVER);

    request.authorization = tollbar_str_of("Bearer correct-horse");
    question.action = TOLLBAR_ACTION_AGENT_CONFIG;
    decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 200);
    assert_int_equal(decision.method, TOLLBAR_METHOD_SECRET_TOKEN);
    tollbar_engine_free(engine);
}

static void test_a_message_names_who_is_not_permitted(void **state)
{
    (void)state;
    tollbar_engine *engine = engine_of(SHOP);
    tollbar_request request = request_from("203.0.113.9");
    tollbar_question question = shop();
    question.service = tollbar_str_of("blog\n");
    tollbar_decision decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_SERVICE_NOT_ALLOWED, 403);
    const char *whole = "anonymous access is not permitted for this service: \"blog\\n\"";
    char text[TOLLBAR_MESSAGE];
    size_t len = tollbar_decision_message(&decision, question.agent, question.service, text, sizeof text);
    assert_string_equal(text, whole);
    assert_int_equal(len, strlen(whole));
    // As with snprintf: any capacity, and the length of the whole.
    for (size_t capacity = 0; capacity < 70; capacity++) {
        memset(text, 'x', sizeof text);
        assert_int_equal(tollbar_decision_message(&decision, question.agent, question.service, text, capacity), len);
        if (capacity > 0) {
            size_t cut = capacity - 1 < len ? capacity - 1 : len;
            assert_memory_equal(text, whole, cut);
            assert_int_equal(text[cut], '\0');
        }
        assert_int_equal(text[capacity], 'x');
    }
    assert_int_equal(tollbar_decision_message(&decision, question.agent, question.service, NULL, 0), len);
    tollbar_engine_free(engine);
}

static void test_an_address_is_admitted_as_an_anonymous_client_is(void **state)
{
    (void)state;
    tollbar_engine *engine = engine_of("apm-server.auth: {secret_token: correct-horse, anonymous: {enabled: true, "
                                       "rate_limit: {ip_limit: 2, event_limit: 1}}}");
    const uint64_t now = 0, mapped = UINT64_C(0xffffcb007109); // ::ffff:203.0.113.9
    tollbar_admission admission = tollbar_admit_ip(engine, 0, mapped, 2, &now);
    assert_int_equal(admission.reason, TOLLBAR_REASON_ALLOWED);
    assert_int_equal(admission.method, TOLLBAR_METHOD_ANONYMOUS);
    admission = tollbar_admit_ip(engine, 0, mapped, 2, &now);
    assert_int_equal(admission.reason, TOLLBAR_REASON_RATE_LIMITED);
    assert_true(admission.retry_after_ns == UINT64_C(1000000000));
    // It is the counter that every other call charges.
    tollbar_request request = request_from("203.0.113.9");
    tollbar_client client = TOLLBAR_CLIENT_INIT;
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    tollbar_authenticate(engine, &request, &now, &client);
    tollbar_client_admit(engine, &client, 0, &now, &decision);
    assert_true(tollbar_decision_remaining(&decision) == 1);

    tollbar_ip_charge charges[3] = {{0, mapped, 1}, {0, mapped, 1}, {0, mapped, 9}};
    tollbar_admission admissions[3];
    assert_int_equal(tollbar_admit_ips(engine, charges, 3, &now, admissions), TOLLBAR_STATUS_OK);
    assert_int_equal(admissions[0].reason, TOLLBAR_REASON_ALLOWED);
    assert_int_equal(admissions[1].reason, TOLLBAR_REASON_RATE_LIMITED);
    assert_int_equal(admissions[2].reason, TOLLBAR_REASON_EXCEEDS_BURST);
    assert_true(admissions[2].retry_after_ns == TOLLBAR_NEVER);
    assert_int_equal(tollbar_admit_ips(NULL, charges, 3, &now, admissions), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(admissions[0].reason, TOLLBAR_REASON_UNDECIDED);
    assert_int_equal(tollbar_admit_ip(NULL, 0, mapped, 1, &now).reason, TOLLBAR_REASON_UNDECIDED);
    tollbar_engine_free(engine);
}

static void test_a_client_answers_in_steps(void **state)
{
    (void)state;
    tollbar_engine *engine = engine_of(SHOP);
    tollbar_request request = request_from("2001:db8::1");
    tollbar_question question = shop();
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    tollbar_client client = TOLLBAR_CLIENT_INIT;
    uint64_t now = 0;
    assert_int_equal(tollbar_authenticate(engine, &request, &now, &client), TOLLBAR_STATUS_OK);
    tollbar_client copy = client;
    assert_int_equal(tollbar_client_decision(engine, &copy, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(tollbar_client_rum_route(engine, &copy, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(tollbar_client_check(engine, &copy, &question, &now, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(
        tollbar_client_authorize(engine, &copy, TOLLBAR_ACTION_INGEST, question.agent, question.service, &decision),
        TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    tollbar_client_authorize(engine, &copy, TOLLBAR_ACTION_SOURCEMAP, question.agent, question.service, &decision);
    assert_decided(&decision, TOLLBAR_REASON_ANONYMOUS_NOT_PERMITTED, 403);
    tollbar_client_admit(engine, &copy, 29, &now, &decision);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    tollbar_client_admit(engine, &copy, 0, &now, &decision);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(tollbar_decision_remaining(&decision), 0);
    assert_int_equal(decision.retry_after_ns, SECOND / 10);
    tollbar_client_reserve(engine, &copy, 5, SECOND, &now, &decision);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(decision.wait_ns, SECOND / 2);
    tollbar_client_reserve(engine, &copy, 6, SECOND, &now, &decision);
    assert_decided(&decision, TOLLBAR_REASON_RATE_LIMITED, 429);
    char text[TOLLBAR_CLIENT_TEXT];
    tollbar_client_text(decision.client, decision.client_prefix, text, sizeof text);
    assert_string_equal(text, "2001:db8::/64");

    // A client that was refused answers every question with that.
    request.authorization = tollbar_str_of("Basic eDp5");
    assert_int_equal(tollbar_authenticate(engine, &request, &now, &client), TOLLBAR_STATUS_OK);
    tollbar_client_admit(engine, &client, 1, &now, &decision);
    assert_decided(&decision, TOLLBAR_REASON_UNKNOWN_SCHEME, 401);
    tollbar_engine_free(engine);
}

static void test_a_batch_answers_as_one_after_another(void **state)
{
    (void)state;
    enum { N = 200 };
    tollbar_engine *one = engine_of(SHOP);
    tollbar_engine *many = engine_of(SHOP);
    tollbar_request requests[N];
    tollbar_question questions[N];
    tollbar_decision decisions[N] = {TOLLBAR_DECISION_INIT};
    uint64_t now = 7;
    for (size_t i = 0; i < N; i++) {
        char peer[32];
        snprintf(peer, sizeof peer, "203.0.113.%zu", i % 5);
        requests[i] = request_from(peer);
        questions[i] = shop();
        questions[i].cost = i % 4;
        if (i % 7 == 0) {
            requests[i].authorization = tollbar_str_of("Bearer correct-horse");
        }
        if (i % 11 == 0) {
            questions[i].service = tollbar_str_of("blog");
        }
    }
    assert_int_equal(tollbar_check_batch(many, requests, questions, N, &now, decisions), TOLLBAR_STATUS_OK);
    for (size_t i = 0; i < N; i++) {
        tollbar_decision alone = check(one, &requests[i], &questions[i], now);
        assert_memory_equal(&decisions[i], &alone, sizeof alone);
    }

    tollbar_client clients[N];
    uint64_t ns[N];
    now = 60 * SECOND;
    for (size_t i = 0; i < N; i++) {
        tollbar_authenticate(many, &requests[i], &now, &clients[i]);
        ns[i] = i % 6;
    }
    assert_int_equal(tollbar_admit_batch(many, clients, ns, N, &now, decisions), TOLLBAR_STATUS_OK);
    for (size_t i = 0; i < N; i++) {
        tollbar_decision alone = TOLLBAR_DECISION_INIT;
        tollbar_client client;
        tollbar_authenticate(one, &requests[i], &now, &client);
        tollbar_client_admit(one, &client, ns[i], &now, &alone);
        assert_memory_equal(&decisions[i], &alone, sizeof alone);
    }
    // Nothing is asked of nobody, and no questions are the default for each.
    now = 120 * SECOND;
    assert_int_equal(tollbar_check_batch(many, NULL, NULL, 0, &now, NULL), TOLLBAR_STATUS_OK);
    assert_int_equal(tollbar_admit_batch(many, NULL, NULL, 0, &now, NULL), TOLLBAR_STATUS_OK);
    assert_int_equal(tollbar_check_batch(many, requests, NULL, 2, &now, decisions), TOLLBAR_STATUS_OK);
    assert_decided(&decisions[0], TOLLBAR_REASON_ALLOWED, 202);
    assert_decided(&decisions[1], TOLLBAR_REASON_AGENT_NOT_ALLOWED, 403);
    tollbar_engine_free(one);
    tollbar_engine_free(many);
}

static void test_a_program_builds_its_configuration(void **state)
{
    (void)state;
    tollbar_config config = TOLLBAR_CONFIG_INIT;
    tollbar_engine *engine = NULL;
    tollbar_request request = request_from("10.0.0.1");
    tollbar_question question = shop();

    // NULL and the initial value are the same: everybody gets in.
    assert_int_equal(tollbar_engine_from_config(NULL, &engine, NULL), TOLLBAR_STATUS_OK);
    tollbar_decision decision = check(engine, &request, &question, 0);
    assert_int_equal(decision.method, TOLLBAR_METHOD_NONE);
    tollbar_engine_free(engine);

    tollbar_str tokens[] = {tollbar_str_of("one-token"), tollbar_str_of("two-token")};
    tollbar_str services[] = {tollbar_str_of("shop")};
    tollbar_network proxies[] = {{tollbar_ip_v4("\x0a\0\0\0"), 8}};
    tollbar_local_key keys[] = {{tollbar_str_of("agents"),
                                 tollbar_str_of("tollbar1:AAECAwQFBgcICQoLDA0ODw:p_M_4NPGOIxoTgWSpXoUCyYFVaHvhq0IhPoE"
                                                "mFBvr1M"),
                                 TOLLBAR_PRIVILEGE_EVENT_WRITE}};
    config.secret_tokens = tokens;
    config.secret_tokens_len = 2;
    config.allow_service = services;
    config.allow_service_len = 1;
    config.trusted_proxies = proxies;
    config.trusted_proxies_len = 1;
    config.api_key_enabled = true;
    config.anonymous = TOLLBAR_SWITCH_ON;
    config.event_limit = 7;
    config.burst_multiplier = 2;
    assert_int_equal(tollbar_engine_from_config(&config, &engine, NULL), TOLLBAR_STATUS_OK);
    tollbar_header headers[] = {{tollbar_str_of("x-forwarded-for"), tollbar_str_of("198.51.100.7")}};
    request.headers = headers;
    request.headers_len = 1;
    decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(tollbar_decision_burst(&decision), 14);
    char client[TOLLBAR_CLIENT_TEXT];
    tollbar_client_text(decision.client, decision.client_prefix, client, sizeof client);
    assert_string_equal(client, "198.51.100.7");
    question.agent = tollbar_str_of("python");
    decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_AGENT_NOT_ALLOWED, 403);
    request.authorization = tollbar_str_of("Bearer two-token");
    decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);

    // A reload keeps the counters, and takes what else there is.
    uint64_t generation = 0;
    config.any_agent = true;
    config.event_limit = 5;
    assert_int_equal(tollbar_reload_config(engine, &config, &generation, NULL), TOLLBAR_STATUS_OK);
    assert_int_equal(generation, 2);
    request.authorization = tollbar_str_of(NULL);
    decision = check(engine, &request, &question, 0);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(tollbar_decision_burst(&decision), 10);

    // All that is wrong is told at once, by the names of the keys.
    char text[4096];
    char json[8192];
    tollbar_error error = TOLLBAR_ERROR_INIT;
    error.text = text;
    error.text_capacity = sizeof text;
    error.json = json;
    error.json_capacity = sizeof json;
    config.ipv6_prefix = 200;
    config.api_key_limit = 2000000;
    config.ip_limit = 4000000000;
    keys[0].hash = tollbar_str_of("md5");
    config.api_keys = keys;
    config.api_keys_len = 1;
    assert_int_equal(tollbar_reload_config(engine, &config, &generation, &error), TOLLBAR_STATUS_CONFIG);
    assert_int_equal(error.status, TOLLBAR_STATUS_CONFIG);
    assert_int_equal(error.problems, 4);
    assert_int_equal(error.text_len, strlen(text));
    assert_int_equal(error.json_len, strlen(json));
    assert_non_null(strstr(text, "tollbar.ipv6_prefix: found 200"));
    assert_non_null(strstr(json, "\"key\":\"tollbar.ipv6_prefix\""));
    assert_int_equal(generation, 2);
    tollbar_engine_free(engine);
}

static void test_reloads_are_taken_whole_or_not_at_all_and_told(void **state)
{
    (void)state;
    char folder[] = "/tmp/tollbar-c-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    snprintf(path, sizeof path, "%s/apm-server.yml", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("apm-server.secret_token: correct-horse\n", file);
    fclose(file);

    char text[4096] = "untouched";
    tollbar_error error = TOLLBAR_ERROR_INIT;
    tollbar_engine *engine = NULL;
    error.text = text;
    error.text_capacity = sizeof text;
    assert_int_equal(tollbar_engine_from_file(tollbar_str_of(path), &engine, &error), TOLLBAR_STATUS_OK);
    assert_string_equal(text, "");
    char told[4096];
    assert_true(tollbar_engine_files(engine, told, sizeof told) > 0);
    assert_string_equal(told, path);
    assert_true(tollbar_engine_warnings(engine, told, sizeof told) > 0);
    assert_non_null(strstr(told, "apm-server.auth.secret_token"));

    file = fopen(path, "w");
    assert_non_null(file);
    fputs("apm-server.auth.secret_tokn: hunter2\n", file);
    fclose(file);
    uint64_t generation = 0;
    assert_int_equal(tollbar_reload_file(engine, tollbar_str_of(NULL), &generation, &error), TOLLBAR_STATUS_CONFIG);
    assert_non_null(strstr(text, "did you mean"));
    assert_null(strstr(text, "hunter2"));
    assert_int_equal(generation, 0);
    assert_int_equal(tollbar_reload_file(engine, tollbar_str_of("/nowhere"), NULL, NULL), TOLLBAR_STATUS_CONFIG);
    assert_int_equal(tollbar_reload_yaml(engine, tollbar_str_of("apm-server.rum.enabled: true"), &generation, &error),
                     TOLLBAR_STATUS_OK);
    assert_string_equal(text, "");
    assert_int_equal(generation, 2);
    size_t len = tollbar_engine_reloads_json(engine, NULL, 0);
    assert_true(len > 0 && len < sizeof told);
    assert_int_equal(tollbar_engine_reloads_json(engine, told, sizeof told), len);
    assert_non_null(strstr(told, "\"changed\":[\"apm-server.auth.secret_token\",\"apm-server.rum.enabled\"]"));
    assert_non_null(strstr(told, "\"problem_count\":1"));
    // A text has no file to watch.
    tollbar_watcher *watcher = (tollbar_watcher *)1;
    assert_int_equal(tollbar_watch_start(engine, NULL, &watcher, &error), TOLLBAR_STATUS_NO_FILE);
    assert_null(watcher);
    assert_non_null(strstr(text, "no file to watch"));
    tollbar_engine_free(engine);
    unlink(path);
    rmdir(folder);
}

static void test_a_watched_file_is_reloaded(void **state)
{
    (void)state;
    char folder[] = "/tmp/tollbar-c-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    snprintf(path, sizeof path, "%s/apm-server.yml", folder);
    FILE *file = fopen(path, "w");
    fputs("apm-server.auth.secret_token: correct-horse\n", file);
    fclose(file);
    tollbar_engine *engine = NULL;
    assert_int_equal(tollbar_engine_from_file(tollbar_str_of(path), &engine, NULL), TOLLBAR_STATUS_OK);
    tollbar_watch_options options = TOLLBAR_WATCH_OPTIONS_INIT;
    options.debounce_ns = SECOND / 100;
    options.poll_ns = SECOND / 10;
    tollbar_watcher *watcher = NULL;
    assert_int_equal(tollbar_watch_start(engine, &options, &watcher, NULL), TOLLBAR_STATUS_OK);
    file = fopen(path, "w");
    fputs("apm-server.auth.secret_token: other-horse\n", file);
    fclose(file);
    tollbar_stats stats = TOLLBAR_STATS_INIT;
    for (int i = 0; i < 3000 && stats.generation < 2; i++) {
        usleep(10000);
        assert_int_equal(tollbar_engine_stats(engine, NULL, &stats), TOLLBAR_STATUS_OK);
    }
    assert_true(stats.generation >= 2);
    // A watcher may be stopped after its engine is gone.
    tollbar_engine_free(engine);
    tollbar_watch_stop(watcher);
    unlink(path);
    rmdir(folder);
}

static void test_statistics_count_what_happened(void **state)
{
    (void)state;
    tollbar_engine *engine = engine_of(SHOP);
    tollbar_request request = request_from("203.0.113.9");
    tollbar_question question = shop();
    check(engine, &request, &question, 0);
    request.authorization = tollbar_str_of("ApiKey !");
    check(engine, &request, &question, 0);
    request.authorization = tollbar_str_of("Bearer wrong");
    check(engine, &request, &question, 0);
    check(engine, &request, &question, 0);
    tollbar_stats stats = TOLLBAR_STATS_INIT;
    uint64_t now = 0;
    assert_int_equal(tollbar_engine_stats(engine, &now, &stats), TOLLBAR_STATUS_OK);
    assert_int_equal(stats.size, sizeof stats);
    assert_int_equal(stats.generation, 1);
    assert_int_equal(stats.allowed[TOLLBAR_METHOD_ANONYMOUS], 1);
    assert_int_equal(stats.refused[TOLLBAR_REASON_INVALID_TOKEN], 2);
    assert_int_equal(stats.refused[TOLLBAR_REASON_INVALID_API_KEY], 1);
    assert_int_equal(stats.ip_limit, 100);
    assert_int_equal(stats.live_counters, 1);

    size_t len = tollbar_engine_prometheus(engine, NULL, 0);
    char *page = malloc(len + 1);
    assert_int_equal(tollbar_engine_prometheus(engine, page, len + 1), len);
    assert_non_null(strstr(page, "\ntollbar_refused_total{reason=\"invalid_token\"} 2\n"));
    free(page);

    tollbar_refusal refusals[2] = {TOLLBAR_REFUSAL_INIT};
    size_t count = 9;
    size_t total = 9;
    assert_int_equal(tollbar_engine_refusals(engine, refusals, 2, &count, &total), TOLLBAR_STATUS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(total, 3);
    assert_int_equal(refusals[1].reason, TOLLBAR_REASON_INVALID_TOKEN);
    assert_int_equal(refusals[1].generation, 1);
    assert_int_equal(refusals[1].action, TOLLBAR_ACTION_INGEST);
    assert_string_equal(refusals[1].service.data, "shop");
    assert_int_equal(refusals[1].service.len, 4);
    assert_true(refusals[1].service.known);
    assert_false(refusals[1].credential_id.known);
    assert_true(refusals[1].time_unix_ns > UINT64_C(1500000000) * SECOND);
    assert_int_equal(tollbar_engine_refusals(engine, NULL, 0, &count, &total), TOLLBAR_STATUS_OK);
    assert_int_equal(count, 0);
    assert_int_equal(total, 3);
    tollbar_engine_free(engine);
}

static void test_pages_of_allowed_origins_may_send_to_the_rum_routes(void **state)
{
    (void)state;
    tollbar_engine *engine = engine_of("apm-server.rum:\n"
                                       "  enabled: true\n"
                                       "  allow_origins: ['https://*.shop.example', 'https://blog.example']\n"
                                       "  allow_headers: [X-One, X-Two]\n");
    assert_true(tollbar_engine_allows_origin(engine, tollbar_str_of("https://www.shop.example")));
    assert_true(tollbar_engine_allows_origin(engine, tollbar_str_of("HTTPS://BLOG.example")));
    assert_false(tollbar_engine_allows_origin(engine, tollbar_str_of("https://blog.example.evil.example")));
    // None, and what is none.
    const tollbar_str bad[] = {TOLLBAR_STR_NULL, {"", 0}, {NULL, 5}, {"https://blog.example", SIZE_MAX}, {"\xff", 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(tollbar_engine_allows_origin(engine, bad[i]));
    }
    assert_false(tollbar_engine_allows_origin(NULL, tollbar_str_of("https://blog.example")));
    char headers[32] = "untouched";
    assert_int_equal(tollbar_engine_allow_headers(NULL, headers, sizeof headers), 0);
    assert_string_equal(headers, "");
    assert_int_equal(tollbar_engine_allow_headers(engine, headers, sizeof headers), 12);
    assert_string_equal(headers, "X-One, X-Two");
    assert_int_equal(tollbar_engine_allow_headers(engine, headers, 4), 12);
    assert_string_equal(headers, "X-O");
    assert_int_equal(tollbar_reload_yaml(engine, tollbar_str_of("apm-server.rum.enabled: true"), NULL, NULL),
                     TOLLBAR_STATUS_OK);
    assert_true(tollbar_engine_allows_origin(engine, tollbar_str_of(NULL)));
    assert_int_equal(tollbar_engine_allow_headers(engine, headers, sizeof headers), 0);
    tollbar_engine_free(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_library_tells_what_it_is),
        cmocka_unit_test(test_a_request_is_decided_with_all_that_a_server_answers),
        cmocka_unit_test(test_a_message_names_who_is_not_permitted),
        cmocka_unit_test(test_an_address_is_admitted_as_an_anonymous_client_is),
        cmocka_unit_test(test_a_client_answers_in_steps),
        cmocka_unit_test(test_a_batch_answers_as_one_after_another),
        cmocka_unit_test(test_a_program_builds_its_configuration),
        cmocka_unit_test(test_reloads_are_taken_whole_or_not_at_all_and_told),
        cmocka_unit_test(test_a_watched_file_is_reloaded),
        cmocka_unit_test(test_statistics_count_what_happened),
        cmocka_unit_test(test_pages_of_allowed_origins_may_send_to_the_rum_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
