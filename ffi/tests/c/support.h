/* What the tests share: engines, requests, and reading files. */
#ifndef TOLLBAR_TEST_SUPPORT_H
#define TOLLBAR_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <tollbar.h>

#define SECOND UINT64_C(1000000000)

/* One token, anonymous clients for the service `shop`, 10 events a second, 30 at once, 100 IPs. */
static const char *const SHOP = "apm-server:\n"
                                "  rum.enabled: true\n"
                                "  auth:\n"
                                "    secret_token: correct-horse\n"
                                "    api_key.enabled: true\n"
                                "    anonymous:\n"
                                "      enabled: true\n"
                                "      allow_service: [shop]\n"
                                "      rate_limit: {ip_limit: 100, event_limit: 10}\n";

/* The header of `verifier`'s keys: base64 of id:key. */
#define CI_KEY "ApiKey Y2k6Y29ycmVjdC1ob3JzZQ=="        /* ci:correct-horse */
#define WRONG_KEY "ApiKey Y2k6d3Jvbmctd3Jvbmctd3Jvbmc=" /* ci:wrong-wrong-wrong */
#define LATER_KEY "ApiKey bGF0ZXI6d2FpdC1mb3ItaXQ="     /* later:wait-for-it */

static inline tollbar_engine *engine_of(const char *yaml)
{
    char problems[4096];
    tollbar_error error = TOLLBAR_ERROR_INIT;
    tollbar_engine *engine = NULL;
    error.text = problems;
    error.text_capacity = sizeof problems;
    if (tollbar_engine_from_yaml(tollbar_str_of(yaml), &engine, &error) != TOLLBAR_STATUS_OK) {
        fail_msg("%s", problems);
    }
    assert_non_null(engine);
    return engine;
}

static inline tollbar_request request_from(const char *peer)
{
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    assert_int_equal(tollbar_ip_parse(tollbar_str_of(peer), &request.peer), TOLLBAR_STATUS_OK);
    return request;
}

static inline tollbar_question shop(void)
{
    tollbar_question question = TOLLBAR_QUESTION_INIT;
    question.agent = tollbar_str_of("rum-js");
    question.service = tollbar_str_of("shop");
    return question;
}

/* Asked at an instant of the test's own clock. */
static inline tollbar_decision check(tollbar_engine *engine, const tollbar_request *request,
                                     const tollbar_question *question, uint64_t now)
{
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    assert_int_equal(tollbar_check(engine, request, question, &now, &decision), TOLLBAR_STATUS_OK);
    return decision;
}

static inline void assert_decided(const tollbar_decision *decision, tollbar_reason reason, int http_status)
{
    assert_string_equal(tollbar_reason_str(decision->reason), tollbar_reason_str(reason));
    assert_int_equal(decision->http_status, http_status);
    assert_int_equal(decision->allowed, reason == TOLLBAR_REASON_ALLOWED);
    assert_int_equal(decision->status, TOLLBAR_STATUS_OK);
    assert_int_equal(decision->size, sizeof *decision);
}

/* No decision was made, and that allows nothing. */
static inline void assert_undecided(const tollbar_decision *decision, tollbar_status status)
{
    assert_false(decision->allowed);
    assert_int_equal(decision->status, status);
    assert_true(decision->reason != TOLLBAR_REASON_ALLOWED);
    assert_true(decision->http_status == 503 || decision->http_status == 403);
    assert_true(decision->grpc_status != 0);
}

#endif
