/* What no caller should pass: an error code for each, and never a decision that allows. */
#include "support.h"

#include <sys/mman.h>
#include <unistd.h>

/* A place for a struct of some other size than the library's, which ends where memory ends. */
struct edge {
    char *base;
    size_t page;
};

static struct edge edge(void)
{
    struct edge edge;
    edge.page = (size_t)sysconf(_SC_PAGESIZE);
    edge.base = mmap(NULL, 2 * edge.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(edge.base != MAP_FAILED);
    assert_int_equal(mprotect(edge.base + edge.page, edge.page, PROT_NONE), 0);
    return edge;
}

static void *before_edge(struct edge *edge, size_t size)
{
    return edge->base + edge->page - size;
}

static tollbar_engine *engine;
static tollbar_request request;
static tollbar_question question;
static tollbar_decision decision;

static int setup(void **state)
{
    (void)state;
    const tollbar_decision init = TOLLBAR_DECISION_INIT;
    engine = engine_of(SHOP);
    request = request_from("203.0.113.9");
    question = shop();
    decision = init;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tollbar_engine_free(engine);
    return 0;
}

/* The call is refused with this status; the same after, when all is well again. */
#define ASSERT_CHECK(status)                                                                                           \
    do {                                                                                                               \
        memset((char *)&decision + sizeof(size_t), 0xff, sizeof decision - sizeof(size_t));                            \
        assert_int_equal(tollbar_check(engine, &request, &question, NULL, &decision), status);                         \
        assert_undecided(&decision, status);                                                                           \
        memset((char *)&decision + sizeof(size_t), 0xff, sizeof decision - sizeof(size_t));                            \
        assert_int_equal(tollbar_check_batch(engine, &request, &question, 1, NULL, &decision), status);                \
        assert_undecided(&decision, status);                                                                           \
    } while (0)

static void test_null_is_an_error_for_each_argument(void **state)
{
    (void)state;
    tollbar_client client = TOLLBAR_CLIENT_INIT;
    const tollbar_str none = TOLLBAR_STR_NULL;
    assert_int_equal(tollbar_check(NULL, &request, NULL, NULL, &decision), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_undecided(&decision, TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_check(engine, NULL, NULL, NULL, &decision), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_undecided(&decision, TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_check(engine, &request, NULL, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_check_blocking(engine, NULL, NULL, NULL, &decision), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_check_batch(engine, NULL, NULL, 1, NULL, &decision), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_undecided(&decision, TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_check_batch(engine, &request, NULL, 1, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_authenticate(NULL, &request, NULL, &client), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_authenticate(engine, &request, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_verify(engine, NULL, NULL, &client), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_client_admit(engine, NULL, 1, NULL, &decision), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_admit_batch(engine, NULL, NULL, 1, NULL, &decision), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_start_verification(engine, &request, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_verify_async(engine, &request, NULL, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_verification_poll(NULL, &client), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_verification_wait(NULL, 0, &client), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_engine_from_file(none, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_reload_file(NULL, none, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_reload_yaml(engine, none, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_watch_start(engine, NULL, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_set_verifier(NULL, NULL, NULL, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_engine_stats(engine, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_engine_refusals(engine, NULL, 0, NULL, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_ip_parse(none, &request.peer), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_int_equal(tollbar_engine_prometheus(NULL, NULL, 0), 0);
    assert_int_equal(tollbar_engine_warnings(NULL, NULL, 0), 0);
    assert_int_equal(tollbar_engine_verification_timeout(NULL), 0);
    assert_int_equal(tollbar_client_text(NULL, 0, NULL, 0), 0);
    assert_int_equal(tollbar_decision_message(NULL, none, none, NULL, 0), 0);
    assert_true(tollbar_decision_remaining(NULL) == TOLLBAR_NEVER);
    assert_null(tollbar_decision_www_authenticate(NULL));
    tollbar_engine *made = (tollbar_engine *)1;
    assert_int_equal(tollbar_engine_from_yaml(none, &made, NULL), TOLLBAR_STATUS_NULL_ARGUMENT);
    assert_null(made);
    // These have nothing to do.
    tollbar_engine_free(NULL);
    tollbar_verification_free(NULL);
    tollbar_watch_stop(NULL);
}

static void test_a_text_with_a_length_but_no_data_is_an_error(void **state)
{
    (void)state;
    const tollbar_str lost = {NULL, 5};
    request.authorization = lost;
    ASSERT_CHECK(TOLLBAR_STATUS_NULL_ARGUMENT);
    request.authorization = tollbar_str_of(NULL);
    question.agent = lost;
    ASSERT_CHECK(TOLLBAR_STATUS_NULL_ARGUMENT);
    question = shop();
    question.service = lost;
    ASSERT_CHECK(TOLLBAR_STATUS_NULL_ARGUMENT);
    question = shop();
    request.headers = NULL;
    request.headers_len = 3;
    ASSERT_CHECK(TOLLBAR_STATUS_NULL_ARGUMENT);
    // A header, whether it would be looked at or not: who has a credential is known without.
    tollbar_header headers[] = {{tollbar_str_of("a"), lost}, {lost, tollbar_str_of("b")}};
    for (size_t i = 0; i < 4; i++) {
        request.headers = &headers[i % 2];
        request.headers_len = 1;
        request.authorization = tollbar_str_of(i < 2 ? NULL : "Bearer correct-horse");
        ASSERT_CHECK(TOLLBAR_STATUS_NULL_ARGUMENT);
    }
}

static void test_lengths_that_no_memory_has_are_errors(void **state)
{
    (void)state;
    const size_t lengths[] = {SIZE_MAX, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < 2; i++) {
        const tollbar_str huge = {"x", lengths[i]};
        request.authorization = huge;
        ASSERT_CHECK(TOLLBAR_STATUS_TOO_LONG);
        request.authorization = tollbar_str_of(NULL);
        question.agent = huge;
        ASSERT_CHECK(TOLLBAR_STATUS_TOO_LONG);
        question = shop();
        question.service = huge;
        ASSERT_CHECK(TOLLBAR_STATUS_TOO_LONG);
        question = shop();
        tollbar_header header = {tollbar_str_of("a"), tollbar_str_of("b")};
        request.headers = &header;
        request.headers_len = lengths[i];
        ASSERT_CHECK(TOLLBAR_STATUS_TOO_LONG);
        request.headers = NULL;
        request.headers_len = 0;
        assert_int_equal(tollbar_engine_from_yaml(huge, &(tollbar_engine *){NULL}, NULL), TOLLBAR_STATUS_TOO_LONG);
        assert_int_equal(tollbar_check_batch(engine, &request, NULL, lengths[i], NULL, &decision),
                         TOLLBAR_STATUS_TOO_LONG);
        const uint64_t n = 1;
        const tollbar_client client = TOLLBAR_CLIENT_INIT;
        assert_int_equal(tollbar_admit_batch(engine, &client, &n, lengths[i], NULL, &decision),
                         TOLLBAR_STATUS_TOO_LONG);
    }
}

static void test_a_name_that_is_not_utf8_is_refused_and_told(void **state)
{
    (void)state;
    const char *bad[] = {"\xff", "shop\xc3", "\xed\xa0\x80", "0123456789\xc0\x80",
                         "a long name that is not UTF-8: \xfe"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        // With a token, too, though it may do all.
        request.authorization = tollbar_str_of(i % 2 ? "Bearer correct-horse" : NULL);
        question.service = tollbar_str_of(bad[i]);
        ASSERT_CHECK(TOLLBAR_STATUS_INVALID_UTF8);
        assert_int_equal(decision.reason, TOLLBAR_REASON_SERVICE_NOT_ALLOWED);
        assert_int_equal(decision.http_status, 403);
        question.agent = tollbar_str_of(bad[i]);
        ASSERT_CHECK(TOLLBAR_STATUS_INVALID_UTF8);
        assert_int_equal(decision.reason, TOLLBAR_REASON_AGENT_NOT_ALLOWED);
        question = shop();
    }
    tollbar_engine *made = NULL;
    assert_int_equal(tollbar_engine_from_yaml(tollbar_str_of("a: \xff"), &made, NULL), TOLLBAR_STATUS_INVALID_UTF8);
    assert_int_equal(tollbar_reload_yaml(engine, tollbar_str_of("a: \xff"), NULL, NULL), TOLLBAR_STATUS_INVALID_UTF8);
    // A credential may hold any bytes: it is wrong, that is all.
    request.authorization = tollbar_str_of("Bearer \xff\xfe");
    assert_int_equal(tollbar_check(engine, &request, &question, NULL, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_INVALID_TOKEN, 401);
}

static void test_a_nul_within_a_text_is_a_byte_like_others(void **state)
{
    (void)state;
    const tollbar_str service = {"sh\0op", 5};
    question.service = service;
    assert_int_equal(tollbar_check(engine, &request, &question, NULL, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_SERVICE_NOT_ALLOWED, 403);
    const tollbar_str token = {"Bearer correct-horse\0", 21};
    request.authorization = token;
    assert_int_equal(tollbar_check(engine, &request, &question, NULL, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_INVALID_TOKEN, 401);
}

static void test_numbers_that_stand_for_nothing_are_errors(void **state)
{
    (void)state;
    question.action = 3;
    ASSERT_CHECK(TOLLBAR_STATUS_INVALID_VALUE);
    question.action = 255;
    ASSERT_CHECK(TOLLBAR_STATUS_INVALID_VALUE);
    question = shop();
    const uint8_t families[] = {0, 1, 2, 5, 7, 10, 255};
    for (size_t i = 0; i < sizeof families; i++) {
        request.peer.family = families[i];
        ASSERT_CHECK(TOLLBAR_STATUS_INVALID_ADDRESS);
    }
    tollbar_config config = TOLLBAR_CONFIG_INIT;
    tollbar_engine *made = NULL;
    config.anonymous = 3;
    assert_int_equal(tollbar_engine_from_config(&config, &made, NULL), TOLLBAR_STATUS_INVALID_VALUE);
    config.anonymous = TOLLBAR_SWITCH_DEFAULT;
    config.elasticsearch_tls_check = 4;
    assert_int_equal(tollbar_engine_from_config(&config, &made, NULL), TOLLBAR_STATUS_INVALID_VALUE);
    config.elasticsearch_tls_check = TOLLBAR_TLS_CHECK_FULL;
    tollbar_network proxy = {tollbar_ip_v4("\x0a\0\0\0"), 33};
    config.trusted_proxies = &proxy;
    config.trusted_proxies_len = 1;
    assert_int_equal(tollbar_engine_from_config(&config, &made, NULL), TOLLBAR_STATUS_INVALID_ADDRESS);
    assert_null(made);
    const char *texts[] = {"", "localhost", "1.2.3", "::g", "\xff"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tollbar_ip_parse(tollbar_str_of(texts[i]), &request.peer), TOLLBAR_STATUS_INVALID_ADDRESS);
        assert_int_equal(request.peer.family, 0);
    }
    assert_int_equal(tollbar_ip_parse(tollbar_str_of(texts[4]), &request.peer), TOLLBAR_STATUS_INVALID_UTF8);
}

static void test_sizes_are_believed_and_nothing_beyond_is_touched(void **state)
{
    (void)state;
    struct edge in = edge();
    struct edge out = edge();
    // Every size that is too small, at the very end of memory.
    for (size_t size = 8; size < sizeof(tollbar_request); size += 8) {
        tollbar_request *small = before_edge(&in, size);
        memset(small, 0, size);
        small->size = size;
        assert_int_equal(tollbar_check(engine, small, NULL, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
        assert_undecided(&decision, TOLLBAR_STATUS_INVALID_SIZE);
        small->size = 0;
        assert_int_equal(tollbar_check(engine, small, NULL, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
    }
    for (size_t size = 8; size < sizeof(tollbar_decision); size += 8) {
        tollbar_decision *small = before_edge(&out, size);
        memset(small, 0, size);
        small->size = size;
        assert_int_equal(tollbar_check(engine, &request, &question, NULL, small), TOLLBAR_STATUS_INVALID_SIZE);
        assert_int_equal(tollbar_check_batch(engine, &request, &question, 1, NULL, small), TOLLBAR_STATUS_INVALID_SIZE);
    }
    // Exactly as large as it is.
    tollbar_request *exact = before_edge(&in, sizeof request);
    tollbar_decision *room = before_edge(&out, sizeof decision);
    *exact = request;
    *room = decision;
    assert_int_equal(tollbar_check(engine, exact, &question, NULL, room), TOLLBAR_STATUS_OK);
    assert_decided(room, TOLLBAR_REASON_ALLOWED, 202);
    // A newer program: what it leaves at zero is fine, what it asks for is not known.
    size_t larger = sizeof request + 24;
    tollbar_request *newer = before_edge(&in, larger);
    memset(newer, 0, larger);
    *newer = request;
    newer->size = larger;
    size_t more = sizeof decision + 16;
    tollbar_decision *newer_room = before_edge(&out, more);
    memset(newer_room, 0xff, more);
    newer_room->size = more;
    assert_int_equal(tollbar_check(engine, newer, &question, NULL, newer_room), TOLLBAR_STATUS_OK);
    assert_true(newer_room->allowed);
    assert_int_equal(newer_room->size, more);
    for (size_t i = sizeof decision; i < more; i++) {
        assert_int_equal(((char *)newer_room)[i], 0);
    }
    ((char *)newer)[larger - 1] = 1;
    assert_int_equal(tollbar_check(engine, newer, &question, NULL, newer_room), TOLLBAR_STATUS_INVALID_SIZE);
    assert_false(newer_room->allowed);
    // A size that is no multiple of the alignment can't be one of several.
    newer->size = larger - 3;
    assert_int_equal(tollbar_check_batch(engine, newer, NULL, 1, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
    // Sizes that no memory has.
    newer->size = SIZE_MAX;
    assert_int_equal(tollbar_check(engine, newer, NULL, NULL, &decision), TOLLBAR_STATUS_INVALID_SIZE);
    munmap(in.base, 2 * in.page);
    munmap(out.base, 2 * out.page);
}

static void test_batches_of_newer_programs_are_walked_in_their_steps(void **state)
{
    (void)state;
    struct newer_request {
        tollbar_request known;
        uint64_t more[2];
    } requests[3];
    struct newer_decision {
        tollbar_decision known;
        uint64_t more;
    } decisions[3];
    memset(requests, 0, sizeof requests);
    memset(decisions, 0xff, sizeof decisions);
    for (size_t i = 0; i < 3; i++) {
        requests[i].known = request;
        requests[i].known.size = sizeof requests[0];
    }
    requests[1].known.authorization = tollbar_str_of("Bearer wrong");
    decisions[0].known.size = sizeof decisions[0];
    assert_int_equal(tollbar_check_batch(engine, &requests[0].known, NULL, 3, NULL, &decisions[0].known),
                     TOLLBAR_STATUS_OK);
    assert_int_equal(decisions[1].known.reason, TOLLBAR_REASON_INVALID_TOKEN);
    assert_int_equal(decisions[2].known.reason, TOLLBAR_REASON_AGENT_NOT_ALLOWED);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(decisions[i].known.size, sizeof decisions[0]);
        assert_int_equal(decisions[i].more, 0);
    }
    // One that is malformed is answered in its place as well.
    memset(&decisions[1], 0xff, sizeof decisions[1]);
    requests[1].known.peer.family = 5;
    assert_int_equal(tollbar_check_batch(engine, &requests[0].known, NULL, 3, NULL, &decisions[0].known),
                     TOLLBAR_STATUS_INVALID_ADDRESS);
    assert_undecided(&decisions[1].known, TOLLBAR_STATUS_INVALID_ADDRESS);
    assert_int_equal(decisions[1].known.size, sizeof decisions[0]);
    assert_int_equal(decisions[1].more, 0);
    requests[2].more[1] = 1;
    assert_int_equal(tollbar_check_batch(engine, &requests[0].known, NULL, 3, NULL, &decisions[0].known),
                     TOLLBAR_STATUS_INVALID_SIZE);
    assert_false(decisions[2].known.allowed);
}

static void test_what_newer_programs_have_beyond_is_zeroed(void **state)
{
    (void)state;
    struct {
        tollbar_stats known;
        uint64_t more;
    } stats = {.known = TOLLBAR_STATS_INIT, .more = 1};
    stats.known.size = sizeof stats;
    assert_int_equal(tollbar_engine_stats(engine, NULL, &stats.known), TOLLBAR_STATUS_OK);
    assert_int_equal(stats.known.size, sizeof stats);
    assert_int_equal(stats.more, 0);

    struct {
        tollbar_error known;
        uint64_t more;
    } error = {.known = TOLLBAR_ERROR_INIT, .more = 1};
    error.known.size = sizeof error;
    tollbar_engine *none = NULL;
    assert_int_equal(tollbar_engine_from_yaml(tollbar_str_of("apm-server.auth.nonsense: 1"), &none, &error.known),
                     TOLLBAR_STATUS_CONFIG);
    assert_int_equal(error.known.size, sizeof error);
    assert_int_equal(error.known.problems, 1);
    assert_int_equal(error.more, 0);

    struct {
        tollbar_refusal known;
        uint64_t more;
    } refusals[TOLLBAR_REFUSALS];
    memset(refusals, 0xff, sizeof refusals);
    refusals[0].known.size = sizeof refusals[0];
    request.authorization = tollbar_str_of("Bearer wrong");
    tollbar_check(engine, &request, NULL, NULL, &decision);
    request.authorization = (tollbar_str){0};
    size_t count = 0;
    assert_int_equal(tollbar_engine_refusals(engine, &refusals[0].known, TOLLBAR_REFUSALS, &count, NULL),
                     TOLLBAR_STATUS_OK);
    assert_true(count > 0 && count < TOLLBAR_REFUSALS);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(refusals[i].known.size, sizeof refusals[0]);
        assert_int_equal(refusals[i].more, 0);
    }
    // What was not written is as it was.
    for (size_t i = 0; i < sizeof refusals[0]; i++) {
        assert_int_equal(((unsigned char *)&refusals[count])[i], 0xff);
    }
}

static void test_misaligned_pointers_are_errors(void **state)
{
    (void)state;
    _Alignas(16) char memory[256] = {0};
    for (size_t offset = 1; offset < 8; offset++) {
        void *crooked = memory + offset;
        assert_int_equal(tollbar_check(engine, crooked, NULL, NULL, &decision), TOLLBAR_STATUS_MISALIGNED);
        assert_undecided(&decision, TOLLBAR_STATUS_MISALIGNED);
        assert_int_equal(tollbar_check(engine, &request, crooked, NULL, &decision), TOLLBAR_STATUS_MISALIGNED);
        assert_int_equal(tollbar_check(engine, &request, NULL, crooked, &decision), TOLLBAR_STATUS_MISALIGNED);
        assert_int_equal(tollbar_check(engine, &request, NULL, NULL, crooked), TOLLBAR_STATUS_MISALIGNED);
        assert_int_equal(tollbar_check(crooked, &request, NULL, NULL, &decision), TOLLBAR_STATUS_MISALIGNED);
        assert_int_equal(tollbar_authenticate(engine, &request, NULL, crooked), TOLLBAR_STATUS_MISALIGNED);
        assert_int_equal(tollbar_client_admit(engine, crooked, 1, NULL, &decision), TOLLBAR_STATUS_MISALIGNED);
        assert_int_equal(tollbar_engine_stats(engine, NULL, crooked), TOLLBAR_STATUS_MISALIGNED);
        request.headers = crooked;
        request.headers_len = 1;
        ASSERT_CHECK(TOLLBAR_STATUS_MISALIGNED);
        request.headers = NULL;
        request.headers_len = 0;
    }
}

static void test_a_client_that_is_none_gets_in_nowhere(void **state)
{
    (void)state;
    tollbar_client client = TOLLBAR_CLIENT_INIT;
    const uint64_t n = 1;
    // Zeroed, as it is left when no client could be made.
    assert_int_equal(tollbar_client_admit(engine, &client, 1, NULL, &decision), TOLLBAR_STATUS_INVALID_CLIENT);
    assert_undecided(&decision, TOLLBAR_STATUS_INVALID_CLIENT);
    assert_int_equal(tollbar_admit_batch(engine, &client, &n, 1, NULL, &decision), TOLLBAR_STATUS_INVALID_CLIENT);
    assert_undecided(&decision, TOLLBAR_STATUS_INVALID_CLIENT);
    // Of another engine, where everybody gets in.
    tollbar_engine *open = engine_of("");
    assert_int_equal(tollbar_authenticate(open, &request, NULL, &client), TOLLBAR_STATUS_OK);
    assert_int_equal(tollbar_client_admit(open, &client, 1, NULL, &decision), TOLLBAR_STATUS_OK);
    assert_decided(&decision, TOLLBAR_REASON_ALLOWED, 202);
    assert_int_equal(tollbar_client_admit(engine, &client, 1, NULL, &decision), TOLLBAR_STATUS_INVALID_CLIENT);
    assert_undecided(&decision, TOLLBAR_STATUS_INVALID_CLIENT);
    tollbar_engine_free(open);
    // Garbage: any bytes are a client or none, and every call tells which.
    assert_int_equal(tollbar_authenticate(engine, &request, NULL, &client), TOLLBAR_STATUS_OK);
    unsigned seed = 1;
    for (int i = 0; i < 20000; i++) {
        tollbar_client garbled = client;
        for (int j = 0; j < 3; j++) {
            seed = seed * 1664525 + 1013904223;
            ((unsigned char *)&garbled)[(seed >> 16) % sizeof garbled] = (unsigned char)(seed >> 24);
        }
        tollbar_status status = tollbar_client_authorize(engine, &garbled, TOLLBAR_ACTION_INGEST, question.agent,
                                                         question.service, &decision);
        assert_true(status == TOLLBAR_STATUS_OK || status == TOLLBAR_STATUS_INVALID_CLIENT);
        assert_int_equal(decision.status, status);
        assert_true(status == TOLLBAR_STATUS_OK || !decision.allowed);
    }
}

static void test_one_malformed_request_spoils_no_others_of_its_batch(void **state)
{
    (void)state;
    enum { N = 150 };
    tollbar_request requests[N];
    tollbar_question questions[N];
    tollbar_decision decisions[N] = {TOLLBAR_DECISION_INIT};
    for (size_t i = 0; i < N; i++) {
        requests[i] = request;
        questions[i] = shop();
        questions[i].cost = 0;
        if (i % 10 == 3) {
            questions[i].service = tollbar_str_of("\xff\xff");
        }
        if (i % 10 == 4) {
            requests[i].peer.family = 9;
        }
    }
    assert_int_equal(tollbar_check_batch(engine, requests, questions, N, NULL, decisions), TOLLBAR_STATUS_INVALID_UTF8);
    for (size_t i = 0; i < N; i++) {
        if (i % 10 == 3) {
            assert_undecided(&decisions[i], TOLLBAR_STATUS_INVALID_UTF8);
        } else if (i % 10 == 4) {
            assert_undecided(&decisions[i], TOLLBAR_STATUS_INVALID_ADDRESS);
        } else {
            assert_decided(&decisions[i], TOLLBAR_REASON_ALLOWED, 202);
        }
    }
    // Nothing was charged or counted for those that were none.
    tollbar_stats stats = TOLLBAR_STATS_INIT;
    assert_int_equal(tollbar_engine_stats(engine, NULL, &stats), TOLLBAR_STATUS_OK);
    assert_int_equal(stats.allowed[TOLLBAR_METHOD_ANONYMOUS], N - 2 * N / 10);
    assert_int_equal(stats.refused[TOLLBAR_REASON_SERVICE_NOT_ALLOWED], 0);
}

static void test_an_error_that_can_not_be_told_stops_what_it_is_for(void **state)
{
    (void)state;
    tollbar_error error = TOLLBAR_ERROR_INIT;
    tollbar_engine *made = NULL;
    error.size = 4;
    assert_int_equal(tollbar_engine_from_yaml(tollbar_str_of(SHOP), &made, &error), TOLLBAR_STATUS_INVALID_SIZE);
    assert_null(made);
    // Any capacity of its buffers.
    const char *wrong = "apm-server.auth.secret_tokn: x";
    char text[512];
    char json[512];
    for (size_t capacity = 0; capacity < 200; capacity++) {
        const tollbar_error init = TOLLBAR_ERROR_INIT;
        memset(text, 'x', sizeof text);
        memset(json, 'x', sizeof json);
        error = init;
        error.text = text;
        error.text_capacity = capacity;
        error.json = json;
        error.json_capacity = capacity;
        assert_int_equal(tollbar_engine_from_yaml(tollbar_str_of(wrong), &made, &error), TOLLBAR_STATUS_CONFIG);
        assert_int_equal(error.problems, 1);
        assert_true(error.text_len > 100 && error.json_len > 100);
        assert_int_equal(text[capacity], 'x');
        assert_int_equal(json[capacity], 'x');
        if (capacity > 0) {
            assert_non_null(memchr(text, '\0', capacity));
            assert_non_null(memchr(json, '\0', capacity));
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_null_is_an_error_for_each_argument),
        TEST(test_a_text_with_a_length_but_no_data_is_an_error),
        TEST(test_lengths_that_no_memory_has_are_errors),
        TEST(test_a_name_that_is_not_utf8_is_refused_and_told),
        TEST(test_a_nul_within_a_text_is_a_byte_like_others),
        TEST(test_numbers_that_stand_for_nothing_are_errors),
        TEST(test_sizes_are_believed_and_nothing_beyond_is_touched),
        TEST(test_batches_of_newer_programs_are_walked_in_their_steps),
        TEST(test_what_newer_programs_have_beyond_is_zeroed),
        TEST(test_misaligned_pointers_are_errors),
        TEST(test_a_client_that_is_none_gets_in_nowhere),
        TEST(test_one_malformed_request_spoils_no_others_of_its_batch),
        TEST(test_an_error_that_can_not_be_told_stops_what_it_is_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
