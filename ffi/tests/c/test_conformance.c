/* The conformance vectors, through the C ABI. The folder of the vectors is the first argument. */
#include "support.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *vectors_folder;

static cJSON *vectors(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", vectors_folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail_msg("%s is not there", path);
    }
    fseek(file, 0, SEEK_END);
    size_t len = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(len + 1);
    assert_int_equal(fread(text, 1, len, file), len);
    text[len] = '\0';
    fclose(file);
    cJSON *json = cJSON_Parse(text);
    free(text);
    if (!json) {
        fail_msg("%s is no JSON", path);
    }
    return json;
}

static const char *string(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static const cJSON *item(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* A number of 64 bits; cJSON keeps a double, which holds all of the vectors' numbers but the largest. */
static uint64_t number(const cJSON *item)
{
    double value = cJSON_GetNumberValue(item);
    assert_true(value >= 0);
    return value >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)value;
}

/* Text, or `{"hex": bytes}`, in memory of the caller's. */
static tollbar_str bytes(const cJSON *value, char *buffer, size_t capacity)
{
    tollbar_str str = TOLLBAR_STR_NULL;
    if (cJSON_IsString(value)) {
        return tollbar_str_of(value->valuestring);
    }
    if (cJSON_IsObject(value)) {
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

static void ask(struct asked *asked, const char *peer, const cJSON *headers)
{
    const cJSON *header;
    asked->request = request_from(peer ? peer : "203.0.113.9");
    asked->request.headers = asked->headers;
    cJSON_ArrayForEach (header, headers) {
        size_t i = asked->request.headers_len++;
        assert_true(i < 16);
        asked->headers[i].name = tollbar_str_of(cJSON_GetArrayItem(header, 0)->valuestring);
        asked->headers[i].value = bytes(cJSON_GetArrayItem(header, 1), asked->room[i], sizeof asked->room[i]);
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
static cJSON *answer(const tollbar_decision *decision, const tollbar_question *question, const char *field)
{
    char text[TOLLBAR_MESSAGE];
    if (strcmp(field, "status") == 0) {
        return cJSON_CreateNumber(decision->http_status);
    }
    if (strcmp(field, "grpc_status") == 0) {
        return cJSON_CreateNumber(decision->grpc_status);
    }
    if (strcmp(field, "reason") == 0) {
        return cJSON_CreateString(tollbar_reason_str(decision->reason));
    }
    if (strcmp(field, "method") == 0) {
        return decision->method == TOLLBAR_METHOD_UNIDENTIFIED
                   ? cJSON_CreateNull()
                   : cJSON_CreateString(tollbar_method_str(decision->method));
    }
    if (strcmp(field, "remaining") == 0) {
        uint64_t remaining = tollbar_decision_remaining(decision);
        return remaining == TOLLBAR_NEVER ? cJSON_CreateNull() : cJSON_CreateNumber((double)remaining);
    }
    if (strcmp(field, "retry_after_ns") == 0) {
        uint64_t ns = decision->retry_after_ns;
        return ns == 0 || ns == TOLLBAR_NEVER ? cJSON_CreateNull() : cJSON_CreateNumber((double)ns);
    }
    if (strcmp(field, "client") == 0) {
        tollbar_client_text(decision->client, decision->client_prefix, text, sizeof text);
        return cJSON_CreateString(text);
    }
    if (strcmp(field, "message") == 0) {
        tollbar_decision_message(decision, question->agent, question->service, text, sizeof text);
        return cJSON_CreateString(text);
    }
    if (strcmp(field, "www_authenticate") == 0) {
        return cJSON_CreateBool(tollbar_decision_www_authenticate(decision) != NULL);
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
    cJSON *cases = vectors(name);
    const cJSON *one;
    const cJSON *step;
    const cJSON *expected;
    int steps = 0;
    cJSON_ArrayForEach (one, cases) {
        tollbar_engine *engine = engine_of(string(one, "config"));
        cJSON_ArrayForEach (step, item(one, "steps")) {
            struct asked asked;
            ask(&asked, string(step, "peer"), item(step, "headers"));
            asked.request.authorization = tollbar_str_of(string(step, "authorization"));
            tollbar_question question = TOLLBAR_QUESTION_INIT;
            question.action = action_of(string(step, "action"));
            question.agent = tollbar_str_of(string(step, "agent"));
            question.service = tollbar_str_of(string(step, "service"));
            question.rum = cJSON_IsTrue(item(step, "rum"));
            if (item(step, "cost")) {
                question.cost = number(item(step, "cost"));
            }
            uint64_t now = item(step, "now") ? number(item(step, "now")) : 0;
            tollbar_decision decision = ask_by(way, engine, &asked.request, &question, item(step, "now") ? &now : NULL);
            cJSON_ArrayForEach (expected, item(step, "expect")) {
                cJSON *got = answer(&decision, &question, expected->string);
                if (!cJSON_Compare(got, expected, true)) {
                    char *shown = cJSON_PrintUnformatted(got);
                    char *wanted = cJSON_PrintUnformatted(step);
                    fail_msg("%s: %s: asked by way %d, %s is %s in %s", name, string(one, "name"), (int)way,
                             expected->string, shown, wanted);
                }
                cJSON_Delete(got);
            }
            steps++;
        }
        tollbar_engine_free(engine);
    }
    assert_true(steps >= 50);
    cJSON_Delete(cases);
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
    cJSON *all = vectors("client_ip.json");
    const cJSON *vector;
    int count = 0;
    cJSON_ArrayForEach (vector, item(all, "vectors")) {
        char *proxies = cJSON_PrintUnformatted(item(vector, "trusted_proxies"));
        char yaml[1024];
        // JSON is YAML.
        snprintf(yaml, sizeof yaml,
                 "{apm-server.auth: {secret_token: t, anonymous: {enabled: true, allow_agent: []}}, "
                 "tollbar: {trusted_proxies: %s, ipv6_prefix: %d}}",
                 proxies, (int)number(item(vector, "ipv6_prefix")));
        free(proxies);
        tollbar_engine *engine = engine_of(yaml);
        struct asked asked;
        ask(&asked, string(vector, "peer"), item(vector, "headers"));
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
    cJSON_Delete(all);
}

static bool starts_with(tollbar_str text, const char *prefix)
{
    return text.data && text.len >= strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0;
}

/* Through what each credential comes to: a token that is exactly the one that was presented is let in. */
static void test_authorization(void **state)
{
    (void)state;
    cJSON *all = vectors("authorization.json");
    const cJSON *vector;
    int count = 0;
    cJSON_ArrayForEach (vector, item(all, "vectors")) {
        char header_room[4096];
        char expect_room[4096];
        tollbar_str expect = bytes(item(vector, "expect"), expect_room, sizeof expect_room);
        tollbar_request request = request_from("203.0.113.9");
        request.authorization = bytes(item(vector, "header"), header_room, sizeof header_room);
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
    cJSON_Delete(all);
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

static void compare_problems(const char *name, cJSON *got, const cJSON *expected)
{
    const char *fields[] = {"file", "line", "column", "key", "found", "accepted", "hint"};
    if (cJSON_GetArraySize(got) != cJSON_GetArraySize(expected)) {
        fail_msg("%s: %d problems", name, cJSON_GetArraySize(got));
    }
    for (int i = 0; i < cJSON_GetArraySize(expected); i++) {
        const cJSON *is = cJSON_GetArrayItem(got, i);
        const cJSON *should = cJSON_GetArrayItem(expected, i);
        for (size_t j = 0; j < sizeof fields / sizeof *fields; j++) {
            const cJSON *value = item(is, fields[j]);
            const cJSON *wanted = item(should, fields[j]);
            // Only where it is not the configuration itself.
            bool itself = j == 0 && cJSON_IsString(value) && strcmp(value->valuestring, "apm-server.yml") == 0;
            bool same = wanted ? cJSON_Compare(value, wanted, true) : itself || cJSON_IsNull(value);
            if (!same) {
                char *shown = cJSON_PrintUnformatted(is);
                fail_msg("%s: %s: %s", name, fields[j], shown);
            }
        }
    }
}

static void test_config(void **state)
{
    (void)state;
    cJSON *cases = vectors("config.json");
    const cJSON *one;
    const cJSON *file;
    const cJSON *variable;
    char folder[] = "/tmp/tollbar-vectors-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s/", folder);
    static char json[1 << 20];
    static char text[1 << 20];
    static char warnings[1 << 16];
    cJSON_ArrayForEach (one, cases) {
        const char *name = string(one, "name");
        cJSON_ArrayForEach (variable, item(one, "env"))
            setenv(variable->string, variable->valuestring, 1);
        cJSON_ArrayForEach (file, item(one, "files"))
            write_file(folder, file->string, file->valuestring);
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
        const cJSON *problems = item(one, "problems");
        if (problems) {
            assert_int_equal(status, TOLLBAR_STATUS_CONFIG);
            assert_int_equal(error.problems, cJSON_GetArraySize(problems));
            assert_int_equal(error.json_len, strlen(json));
            remove_all(json, prefix);
            cJSON *told = cJSON_Parse(json);
            assert_int_equal(number(item(told, "status")), TOLLBAR_STATUS_CONFIG);
            compare_problems(name, cJSON_GetObjectItemCaseSensitive(told, "problems"), problems);
            cJSON_Delete(told);
        } else if (status != TOLLBAR_STATUS_OK) {
            // A certificate that the vectors only name.
            assert_non_null(strstr(text, "ssl"));
        } else {
            int lines = tollbar_engine_warnings(engine, warnings, sizeof warnings) > 0;
            for (const char *at = warnings; *at; at++) {
                lines += *at == '\n';
            }
            if (lines != cJSON_GetArraySize(item(one, "warnings"))) {
                fail_msg("%s: %s", name, warnings);
            }
        }
        tollbar_engine_free(engine);
        cJSON_ArrayForEach (variable, item(one, "env"))
            unsetenv(variable->string);
        cJSON_ArrayForEach (file, item(one, "files"))
            remove_file(folder, file->string);
        remove_file(folder, "apm-server.yml");
    }
    assert_true(cJSON_GetArraySize(cases) >= 100);
    rmdir(folder);
    cJSON_Delete(cases);
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
