/* The example at the top of tollbar.h. */
#include <stdio.h>
#include <stdlib.h>
#include <tollbar.h>

int main(void)
{
    char problems[4096];
    tollbar_error error = TOLLBAR_ERROR_INIT;
    error.text = problems;
    error.text_capacity = sizeof problems;

    tollbar_engine *engine;
    const char *yaml = "apm-server:\n"
                       "  auth:\n"
                       "    secret_token: correct-horse-battery-staple\n"
                       "    anonymous: {enabled: true, allow_service: [shop]}\n";
    if (tollbar_engine_from_yaml(tollbar_str_of(yaml), &engine, &error) != TOLLBAR_STATUS_OK) {
        fprintf(stderr, "%s\n", problems);
        return EXIT_FAILURE;
    }

    // For each request: who is this, and may one event of this agent and service come in now?
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    tollbar_question question = TOLLBAR_QUESTION_INIT;
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    const unsigned char peer[4] = {203, 0, 113, 9};
    request.peer = tollbar_ip_v4(peer);
    request.authorization = tollbar_str_of(NULL);
    question.agent = tollbar_str_of("rum-js");
    question.service = tollbar_str_of("shop");
    tollbar_check(engine, &request, &question, NULL, &decision);
    printf("%u %s\n", decision.http_status, tollbar_reason_str(decision.reason));

    // Or in steps: identify the client once, and admit each batch before any of its events is accepted.
    tollbar_client client;
    tollbar_authenticate(engine, &request, NULL, &client);
    tollbar_client_admit(engine, &client, 1000, NULL, &decision);
    if (!decision.allowed) {
        char why[TOLLBAR_MESSAGE];
        tollbar_decision_message(&decision, question.agent, question.service, why, sizeof why);
        printf("%u %s\n", decision.http_status, why);
    }

    tollbar_engine_free(engine);
    return EXIT_SUCCESS;
}
