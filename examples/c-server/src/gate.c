#include "gate.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static tollbar_str text_of(json_t *name)
{
    return name ? (tollbar_str){.data = json_string_value(name), .len = json_string_length(name)} : (tollbar_str){0};
}

static bool refuse_by(const tollbar_decision *decision, tollbar_str agent, tollbar_str service, struct refusal *refusal)
{
    char message[TOLLBAR_MESSAGE];
    tollbar_decision_message(decision, agent, service, message, sizeof message);
    refuse(refusal, decision->http_status, "%s", message);
    refusal->decided = true;
    refusal->grpc_status = decision->grpc_status;
    refusal->exceeds_burst = decision->reason == TOLLBAR_REASON_EXCEEDS_BURST;
    const char *challenge = tollbar_decision_www_authenticate(decision);
    if (challenge) {
        snprintf(refusal->www_authenticate, sizeof refusal->www_authenticate, "%s", challenge);
    }
    if (decision->retry_after_s > 0) {
        snprintf(refusal->retry_after, sizeof refusal->retry_after, "%u", (unsigned)decision->retry_after_s);
    }
    return false;
}

// A decision that could not be made refuses; only a defect of this server's leads there.
static bool require(const tollbar_decision *decision, tollbar_str agent, tollbar_str service, struct refusal *refusal)
{
    return decision->allowed || refuse_by(decision, agent, service, refusal);
}

struct collected {
    tollbar_header *headers;
    size_t count, room;
};

static enum MHD_Result collect(void *context, enum MHD_ValueKind kind, const char *name, size_t name_size,
                               const char *value, size_t value_size)
{
    (void)kind;
    struct collected *collected = context;
    if (collected->count == collected->room) {
        return MHD_NO;
    }
    tollbar_header *header = &collected->headers[collected->count++];
    header->name = (tollbar_str){.data = name, .len = name_size};
    header->value = (tollbar_str){.data = value ? value : "", .len = value ? value_size : 0};
    return MHD_YES;
}

static tollbar_ip peer_of(struct MHD_Connection *connection)
{
    tollbar_ip ip = {0};
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    if (address && address->sa_family == AF_INET) {
        ip.family = 4;
        memcpy(ip.bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    } else if (address && address->sa_family == AF_INET6) {
        ip.family = 6;
        memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    }
    return ip;
}

bool gate_identify(struct guest *guest, const tollbar_engine *engine, struct MHD_Connection *connection,
                   struct refusal *refusal)
{
    guest->engine = engine;
    guest->decision = (tollbar_decision)TOLLBAR_DECISION_INIT;
    // The library bounds a request's head, and with it the number of its fields.
    int fields = MHD_get_connection_values_n(connection, MHD_HEADER_KIND, NULL, NULL);
    struct collected collected = {.room = fields > 0 ? (size_t)fields : 0};
    collected.headers = calloc(collected.room + 1, sizeof *collected.headers);
    if (!collected.headers) {
        return refuse(refusal, 503, "the server lacks the memory for this request now");
    }
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, collect, &collected);
    tollbar_request request = TOLLBAR_REQUEST_INIT;
    request.headers = collected.headers;
    request.headers_len = collected.count;
    request.peer = peer_of(connection);
    tollbar_status status = tollbar_authenticate(engine, &request, NULL, &guest->client);
    tollbar_client_decision(engine, &guest->client, &guest->decision);
    if (status == TOLLBAR_STATUS_OK && guest->decision.reason == TOLLBAR_REASON_PENDING) {
        status = tollbar_verify(engine, &request, NULL, &guest->client);
        tollbar_client_decision(engine, &guest->client, &guest->decision);
    }
    free(collected.headers);
    if (status != TOLLBAR_STATUS_OK) {
        return refuse(refusal, 500, "internal error: %s", tollbar_status_str(status));
    }
    return true;
}

bool gate_enter(struct guest *guest, const tollbar_engine *engine, struct MHD_Connection *connection, bool rum,
                struct refusal *refusal)
{
    const tollbar_str nobody = {0};
    if (!gate_identify(guest, engine, connection, refusal) || !gate_authenticated(guest, refusal)) {
        return false;
    }
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    tollbar_client_admit(engine, &guest->client, 1, NULL, &decision);
    if (!require(&decision, nobody, nobody, refusal)) {
        return false;
    }
    if (rum) {
        tollbar_client_rum_route(engine, &guest->client, &decision);
    }
    return require(&decision, nobody, nobody, refusal);
}

bool gate_authenticated(const struct guest *guest, struct refusal *refusal)
{
    const tollbar_str nobody = {0};
    return require(&guest->decision, nobody, nobody, refusal);
}

bool gate_authorize(const struct guest *guest, tollbar_action action, json_t *agent, json_t *service,
                    struct refusal *refusal)
{
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    tollbar_client_authorize(guest->engine, &guest->client, action, text_of(agent), text_of(service), &decision);
    return require(&decision, text_of(agent), text_of(service), refusal);
}

bool gate_make_room(const struct guest *guest, size_t events, uint64_t *patience_ns, struct refusal *refusal)
{
    const tollbar_str nobody = {0};
    tollbar_decision decision = TOLLBAR_DECISION_INIT;
    tollbar_client_reserve(guest->engine, &guest->client, events, *patience_ns, NULL, &decision);
    if (!require(&decision, nobody, nobody, refusal)) {
        return false;
    }
    *patience_ns -= decision.wait_ns < *patience_ns ? decision.wait_ns : *patience_ns;
    struct timespec rest = {(time_t)(decision.wait_ns / SECOND_NS), (long)(decision.wait_ns % SECOND_NS)};
    // A signal may end a sleep early; what is left of it is slept then.
    while (decision.wait_ns > 0 && nanosleep(&rest, &rest) != 0) {
    }
    return true;
}

bool gate_anonymous(const struct guest *guest)
{
    return guest->decision.method == TOLLBAR_METHOD_ANONYMOUS;
}
