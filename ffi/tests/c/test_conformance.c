/* The conformance vectors, through the C ABI. The folder of the vectors is the first argument. */
#include "support.h"

#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *vectors_folder;

static json_t *vectors(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", vectors_folder, name);
    json_error_t error;
    // Some numbers are larger than the integers that jansson knows.
    json_t *json = json_load_file(path, JSON_DECODE_INT_AS_REAL, &error);
    if (!json) {
        fail_msg("%s: %s in line %d", path, error.text, error.line);
    }
    return json;
}

static const char *string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* A number of 64 bits, read as a double, which holds all of the vectors' numbers but the largest. */
static uint64_t number(const json_t *item)
{
    double value = json_number_value(item);
    assert_true(value >= 0);
    return value >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)value;
}

/* Text, or `{"hex": bytes}`, in memory of the caller's. */
static tollbar_str bytes(const json_t *value, char *buffer, size_t capacity)
{
    tollbar_str str = TOLLBAR_STR_NULL;
    if (json_is_string(value)) {
        return tollbar_str_of(json_string_value(value));
    }
    if (json_is_object(value)) {
        const char *hex = string(value, "hex");
        assert_true(strlen(hex) / 2 <= capacity);
        for (; hex[str.len * 2]; str.len++) {
            unsigned byte;
            assert_int_equal(sscanf(hex + str.len * 2, "%2x", &byte), 1);
            buffer[str.len] = (char)byte;
        }
        str.data = buffer;
    }
    return str;
}

/* A request with the headers of a vector: pairs of a name and a value. */
struct asked {
    tollbar_request request;
    tollbar_header headers[16];
    char room[16][256];
};

static void ask(struct asked *asked, const char *peer, const json_t *headers)
{
    size_t i;
    const json_t *header;
    asked->request = request_from(peer ? peer : "203.0.113.9");
    asked->request.headers = asked->headers;
    json_array_foreach (headers, i, header) {
        assert_true(asked->request.headers_len++ < 16);
        asked->headers[i].name = tollbar_str_of(json_string_value(json_array_get(header, 0)));
        asked->headers[i].value = bytes(json_array_get(header, 1), asked->room[i], sizeof asked->room[i]);
    }
}

static tollbar_action action_of(const char *name)
{
    for (tollbar_action action = TOLLBAR_ACTION_INGEST; action <= TOLLBAR_ACTION_SOURCEMAP; action++) {
        if (name && strcmp(tollbar_action_str(action), name) == 0) {
            return action;
        }
    }
    assert_null(name);
    return TOLLBAR_ACTION_INGEST;
}

/* What of a decision a vector may name, as JSON. */
static json_t *answer(const tollbar_decision *decision, const tollbar_question *question, const char *field)
{
    char text[TOLLBAR_MESSAGE];
    if (strcmp(field, "status") == 0) {
        return json_real(decision->http_status);
    }
    if (strcmp(field, "grpc_status") == 0) {
        return json_real(decision->grpc_status);
    }
    if (strcmp(field, "reason") == 0) {
        return json_string(tollbar_reason_str(decision->reason));
    }
    if (strcmp(field, "method") == 0) {
        return decision->method == TOLLBAR_METHOD_UNIDENTIFIED ? json_null()
                                                               : json_string(tollbar_method_str(decision->method));
    }
    if (strcmp(field, "remaining") == 0) {
        uint64_t remaining = tollbar_decision_remaining(decision);
        return remaining == TOLLBAR_NEVER ? json_null() : json_real((double)remaining);
    }
    if (strcmp(field, "retry_after_ns") == 0) {
        uint64_t ns = decision->retry_after_ns;
        return ns == 0 || ns == TOLLBAR_NEVER ? json_null() : json_real((double)ns);
    }
    if (strcmp(field, "client") == 0) {
        tollbar_client_text(decision->client, decision->client_prefix, text, sizeof text);
        return json_string(text);
    }
    if (strcmp(field, "message") == 0) {
        tollbar_decision_message(decision, question->agent, question->service, text, sizeof text);
        return json_string(text);
    }
    if (strcmp(field, "www_authenticate") == 0) {
        return json_boolean(tollbar_decision_www_authenticate(decision) != NULL);
    }
    fail_msg("unknown field %s", field);
    return NULL;
}

/* The ways in which a program may ask the same. */
enum way { AT_ONCE, BLOCKING, AS_A_BATCH, IN_STEPS, WAYS };

static tollbar_decision ask_by(enum way way, tollbar_engine *engine, const tollbar_request *request,
                               const tollbar_question *question, const uint64_t *now)
{
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    tollbar_client client;
    tollbar_status status = TOLLBAR_STATUS_PANIC;
    switch (way) {
    case AT_ONCE:
        status = tollbar_check(engine, request, question, now, &decision);
        break;
    case BLOCKING:
        status = tollbar_check_blocking(engine, request, question, now, &decision);
        break;
    case AS_A_BATCH:
        status = tollbar_check_batch(engine, request, question, 1, now, &decision);
        break;
    default:
        assert_int_equal(tollbar_authenticate(engine, request, now, &client), TOLLBAR_STATUS_OK);
        status = tollbar_client_check(engine, &client, question, now, &decision);
    }
    assert_int_equal(status, TOLLBAR_STATUS_OK);
    return decision;
}

static void run_decisions_by(enum way way, const char *name)
{
    json_t *cases = vectors(name);
    const json_t *one;
    const json_t *step;
    const json_t *expected;
    const char *field;
    size_t i;
    size_t j;
    int steps = 0;
    json_array_foreach (cases, i, one) {
        tollbar_engine *engine = engine_of(string(one, "config"));
        json_array_foreach (json_object_get(one, "steps"), j, step) {
            struct asked asked;
            ask(&asked, string(step, "peer"), json_object_get(step, "headers"));
            asked.request.authorization = tollbar_str_of(string(step, "authorization"));
            tollbar_question question = TOLLBAR_QUESTION_INIT;
            question.action = action_of(string(step, "action"));
            question.agent = tollbar_str_of(string(step, "agent"));
            question.service = tollbar_str_of(string(step, "service"));
            question.rum = json_is_true(json_object_get(step, "rum"));
            if (json_object_get(step, "cost")) {
                question.cost = number(json_object_get(step, "cost"));
            }
            uint64_t now = json_object_get(step, "now") ? number(json_object_get(step, "now")) : 0;
            tollbar_decision decision =
                ask_by(way, engine, &asked.request, &question, json_object_get(step, "now") ? &now : NULL);
            json_object_foreach (json_object_get(step, "expect"), field, expected) {
                json_t *got = answer(&decision, &question, field);
                if (!json_equal(got, expected)) {
                    char *shown = json_dumps(got, JSON_ENCODE_ANY);
                    char *wanted = json_dumps(step, JSON_ENCODE_ANY);
                    fail_msg("%s: %s: asked by way %d, %s is %s in %s", name, string(one, "name"), (int)way, field,
                             shown, wanted);
                }
                json_decref(got);
            }
            steps++;
        }
        tollbar_engine_free(engine);
    }
    assert_true(steps >= 50);
    json_decref(cases);
}

static void run_decisions(const char *name)
{
    for (enum way way = AT_ONCE; way < WAYS; way++) {
        run_decisions_by(way, name);
    }
}

static void test_decisions(void **state)
{
    (void)state;
    run_decisions("decisions.json");
}

static void test_gcra(void **state)
{
    (void)state;
    run_decisions("gcra.json");
}

static void test_client_ip(void **state)
{
    (void)state;
    json_t *all = vectors("client_ip.json");
    const json_t *vector;
    size_t i;
    int count = 0;
    json_array_foreach (json_object_get(all, "vectors"), i, vector) {
        char *proxies = json_dumps(json_object_get(vector, "trusted_proxies"), 0);
        char yaml[1024];
        // JSON is YAML.
        snprintf(yaml, sizeof yaml,
                 "{apm-server.auth: {secret_token: t, anonymous: {enabled: true, allow_agent: []}}, "
                 "tollbar: {trusted_proxies: %s, ipv6_prefix: %d}}",
                 proxies, (int)number(json_object_get(vector, "ipv6_prefix")));
        free(proxies);
        tollbar_engine *engine = engine_of(yaml);
        struct asked asked;
        ask(&asked, string(vector, "peer"), json_object_get(vector, "headers"));
        tollbar_decision decision = check(engine, &asked.request, NULL, 0);
        char client[TOLLBAR_CLIENT_TEXT];
        tollbar_client_text(decision.client, decision.client_prefix, client, sizeof client);
        if (strcmp(client, string(vector, "client")) != 0) {
            fail_msg("%s: %s", string(vector, "name"), client);
        }
        // In a batch, headers are walked on another way.
        assert_int_equal(tollbar_check_batch(engine, &asked.request, NULL, 1, NULL, &decision), TOLLBAR_STATUS_OK);
        tollbar_client_text(decision.client, decision.client_prefix, client, sizeof client);
        assert_string_equal(client, string(vector, "client"));
        tollbar_engine_free(engine);
        count++;
    }
    assert_true(count >= 100);
    json_decref(all);
}

static bool starts_with(tollbar_str text, const char *prefix)
{
    return text.data && text.len >= strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0;
}

/* Through what each credential comes to: a token that is exactly the one that was presented is let in. */
static void test_authorization(void **state)
{
    (void)state;
    json_t *all = vectors("authorization.json");
    const json_t *vector;
    size_t i;
    int count = 0;
    json_array_foreach (json_object_get(all, "vectors"), i, vector) {
        char header_room[4096];
        char expect_room[4096];
        tollbar_str expect = bytes(json_object_get(vector, "expect"), expect_room, sizeof expect_room);
        tollbar_request request = request_from("203.0.113.9");
        request.authorization = bytes(json_object_get(vector, "header"), header_room, sizeof header_room);
        tollbar_str token = tollbar_str_of("some-other-token");
        tollbar_reason reason = TOLLBAR_REASON_UNKNOWN_SCHEME;
        if (starts_with(expect, "bearer:")) {
            reason = TOLLBAR_REASON_INVALID_TOKEN;
            if (expect.len > 7) {
                reason = TOLLBAR_REASON_ALLOWED;
                token.data = expect.data + 7;
                token.len = expect.len - 7;
            }
        } else if (starts_with(expect, "api_key:")) {
            reason = TOLLBAR_REASON_API_KEY_NOT_CONFIGURED;
        } else if (starts_with(expect, "none")) {
            reason = TOLLBAR_REASON_MISSING_CREDENTIAL;
        }
        tollbar_config config = TOLLBAR_CONFIG_INIT;
        tollbar_engine *engine = NULL;
        config.secret_tokens = &token;
        config.secret_tokens_len = 1;
        tollbar_status status = tollbar_engine_from_config(&config, &engine, NULL);
        if (status == TOLLBAR_STATUS_CONFIG) {
            // A token that no configuration accepts, and so nobody can be let in by.
            assert_int_equal(reason, TOLLBAR_REASON_ALLOWED);
            token = tollbar_str_of("some-other-token");
            reason = TOLLBAR_REASON_INVALID_TOKEN;
            status = tollbar_engine_from_config(&config, &engine, NULL);
        }
        assert_int_equal(status, TOLLBAR_STATUS_OK);
        tollbar_decision decision = check(engine, &request, NULL, 0);
        if (decision.reason != reason) {
            fail_msg("%s: %s", string(vector, "name"), tollbar_reason_str(decision.reason));
        }
        tollbar_engine_free(engine);
        count++;
    }
    assert_true(count >= 50);
    json_decref(all);
}

/* `text` without every `prefix` in it. */
static void remove_all(char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    for (char *at = text; (at = strstr(at, prefix));) {
        memmove(at, at + len, strlen(at + len) + 1);
    }
}

static void write_file(const char *folder, const char *name, const char *content)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void remove_file(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

static void compare_problems(const char *name, json_t *got, const json_t *expected)
{
    const char *fields[] = {"file", "line", "column", "key", "found", "accepted", "hint"};
    if (json_array_size(got) != json_array_size(expected)) {
        fail_msg("%s: %zu problems", name, json_array_size(got));
    }
    for (size_t i = 0; i < json_array_size(expected); i++) {
        const json_t *is = json_array_get(got, i);
        const json_t *should = json_array_get(expected, i);
        for (size_t j = 0; j < sizeof fields / sizeof *fields; j++) {
            const json_t *value = json_object_get(is, fields[j]);
            const json_t *wanted = json_object_get(should, fields[j]);
            // Only where it is not the configuration itself.
            bool itself = j == 0 && json_is_string(value) && strcmp(json_string_value(value), "apm-server.yml") == 0;
            bool same = wanted ? json_equal(value, wanted) : itself || json_is_null(value);
            if (!same) {
                char *shown = json_dumps(is, JSON_ENCODE_ANY);
                fail_msg("%s: %s: %s", name, fields[j], shown);
            }
        }
    }
}

static void test_config(void **state)
{
    (void)state;
    json_t *cases = vectors("config.json");
    const json_t *one;
    const json_t *value;
    const char *key;
    size_t i;
    char folder[] = "/tmp/tollbar-vectors-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s/", folder);
    static char json[1 << 20];
    static char text[1 << 20];
    static char warnings[1 << 16];
    json_array_foreach (cases, i, one) {
        const char *name = string(one, "name");
        json_object_foreach (json_object_get(one, "env"), key, value)
            setenv(key, json_string_value(value), 1);
        json_object_foreach (json_object_get(one, "files"), key, value)
            write_file(folder, key, json_string_value(value));
        write_file(folder, "apm-server.yml", string(one, "yaml"));
        char path[64];
        snprintf(path, sizeof path, "%s/apm-server.yml", folder);
        tollbar_error error = TOLLBAR_ERROR_INIT;
        tollbar_engine *engine = NULL;
        error.text = text;
        error.text_capacity = sizeof text;
        error.json = json;
        error.json_capacity = sizeof json;
        tollbar_status status = tollbar_engine_from_file(tollbar_str_of(path), &engine, &error);
        const json_t *problems = json_object_get(one, "problems");
        if (problems) {
            assert_int_equal(status, TOLLBAR_STATUS_CONFIG);
            assert_int_equal(error.problems, json_array_size(problems));
            assert_int_equal(error.json_len, strlen(json));
            remove_all(json, prefix);
            json_t *told = json_loads(json, JSON_DECODE_INT_AS_REAL, NULL);
            assert_int_equal(number(json_object_get(told, "status")), TOLLBAR_STATUS_CONFIG);
            compare_problems(name, json_object_get(told, "problems"), problems);
            json_decref(told);
        } else if (status != TOLLBAR_STATUS_OK) {
            // A certificate that the vectors only name.
            assert_non_null(strstr(text, "ssl"));
        } else {
            size_t lines = tollbar_engine_warnings(engine, warnings, sizeof warnings) > 0;
            for (const char *at = warnings; *at; at++) {
                lines += *at == '\n';
            }
            if (lines != json_array_size(json_object_get(one, "warnings"))) {
                fail_msg("%s: %s", name, warnings);
            }
        }
        tollbar_engine_free(engine);
        json_object_foreach (json_object_get(one, "env"), key, value)
            unsetenv(key);
        json_object_foreach (json_object_get(one, "files"), key, value)
            remove_file(folder, key);
        remove_file(folder, "apm-server.yml");
    }
    assert_true(json_array_size(cases) >= 100);
    rmdir(folder);
    json_decref(cases);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_conformance FOLDER\n");
        return 2;
    }
    vectors_folder = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions),     cmocka_unit_test(test_gcra),   cmocka_unit_test(test_client_ip),
        cmocka_unit_test(test_authorization), cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
