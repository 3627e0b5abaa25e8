/*
 * Tollbar: decides, for each request to a telemetry intake server and in nanoseconds, whether the client is authenticated, whether an
 * anonymous client is allowed, and whether its IP has room left.
 *
 * Made by cbindgen from ffi/src; don't edit it: `make header`.
 *
 * ## A complete example
 *
 *     #include <stdio.h>
 *     #include <stdlib.h>
 *     #include <tollbar.h>
 *
 *     int main(void)
 *     {
 *         char problems[4096];
 *         tollbar_error error = TOLLBAR_ERROR_INIT;
 *         error.text = problems;
 *         error.text_capacity = sizeof problems;
 *
 *         tollbar_engine *engine;
 *         const char *yaml = "apm-server:\n"
 *                            "  auth:\n"
 *                            "    secret_token: correct-horse-battery-staple\n"
 *                            "    anonymous: {enabled: true, allow_service: [shop]}\n";
 *         if (tollbar_engine_from_yaml(tollbar_str_of(yaml), &engine, &error) != TOLLBAR_STATUS_OK) {
 *             fprintf(stderr, "%s\n", problems);
 *             return EXIT_FAILURE;
 *         }
 *
 *         // For each request: who is this, and may one event of this agent and service come in now?
 *         tollbar_request request = TOLLBAR_REQUEST_INIT;
 *         tollbar_question question = TOLLBAR_QUESTION_INIT;
 *         tollbar_decision decision = TOLLBAR_DECISION_INIT;
 *         const unsigned char peer[4] = {203, 0, 113, 9};
 *         request.peer = tollbar_ip_v4(peer);
 *         request.authorization = tollbar_str_of(NULL);
 *         question.agent = tollbar_str_of("rum-js");
 *         question.service = tollbar_str_of("shop");
 *         tollbar_check(engine, &request, &question, NULL, &decision);
 *         printf("%u %s\n", decision.http_status, tollbar_reason_str(decision.reason));
 *
 *         // Or in steps: identify the client once, and admit each batch before any of its events is accepted.
 *         tollbar_client client;
 *         tollbar_authenticate(engine, &request, NULL, &client);
 *         tollbar_client_admit(engine, &client, 1000, NULL, &decision);
 *         if (!decision.allowed) {
 *             char why[TOLLBAR_MESSAGE];
 *             tollbar_decision_message(&decision, question.agent, question.service, why, sizeof why);
 *             printf("%u %s\n", decision.http_status, why);
 *         }
 *
 *         tollbar_engine_free(engine);
 *         return EXIT_SUCCESS;
 *     }
 *
 * Build it: cc example.c $(pkg-config --cflags --libs tollbar)
 *
 * ## What holds for every function
 *
 * Ownership. What you pass in is borrowed for the duration of the call, and what you get is yours: structs and buffers are
 * your own memory, and the library keeps no pointer to them. Handles (tollbar_engine, tollbar_verification, tollbar_watcher) are freed
 * with the one function that is named where they are made. Everything else is a plain value that needs no free, a tollbar_client
 * among them. A `const char *` that is returned is static.
 *
 * Threads. Every function may be called from any thread at any time on the same engine, but for those that free. Structs are not
 * locked: don't share one that is written. The library has no global state, and starts no thread of its own but for
 * tollbar_start_verification(), tollbar_verify_async() and tollbar_watch_start().
 *
 * Errors. A function that can fail returns a tollbar_status, which says whether there is an answer; the answer itself is in the
 * struct. Where no decision could be made, the decision says so and allows nothing, so a server that looks at `allowed` alone is safe.
 * NULL, misaligned pointers, sizes that are too small, lengths that no memory has, text that is not UTF-8, and numbers that stand
 * for nothing have a status of their own, and never crash. What no library can check is up to you: that memory is there, that it is not
 * changed meanwhile, and that a handle was not freed. A panic inside never leaves the library: it is TOLLBAR_STATUS_PANIC.
 *
 * Sizes. Structs that may grow begin with their `size`: start each from its TOLLBAR_..._INIT. A program that was compiled
 * with an older header goes on working with a newer library of the same TOLLBAR_ABI_VERSION, and the other way round as long as it
 * uses nothing new.
 *
 * Text. A tollbar_str is a pointer and a length; it needs no NUL at its end. Functions that write text take a buffer and its capacity, write a
 * NUL in any case, and return the length that the whole text has without it, as snprintf() does: if that is not less
 * than the capacity, it was cut (never within a character). A NULL buffer of capacity 0 is fine.
 *
 * Time. Everything is in nanoseconds. `now_ns` points to the time of a monotonic clock of yours, for replays and tests; NULL is the
 * library's own clock. Don't mix the two on one engine.
 */

#ifndef TOLLBAR_H
#define TOLLBAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * The version of the ABI that this header describes: it changes with each break, as the shared library's name does.
 */
#define TOLLBAR_ABI_VERSION 0

/**
 * Room for any text of tollbar_client_text() and its NUL.
 */
#define TOLLBAR_CLIENT_TEXT 64

/**
 * `retry_after_ns` of what never fits.
 */
#define TOLLBAR_NEVER UINT64_MAX

/**
 * Room for any text of tollbar_decision_message() and its NUL.
 */
#define TOLLBAR_MESSAGE 1024

/**
 * An API key may read the agents' central configuration: `config_agent:read`.
 */
#define TOLLBAR_PRIVILEGE_CONFIG_AGENT_READ 1

/**
 * An API key may send events: `event:write`.
 */
#define TOLLBAR_PRIVILEGE_EVENT_WRITE 2

/**
 * An API key may upload source maps: `sourcemap:write`.
 */
#define TOLLBAR_PRIVILEGE_SOURCEMAP_WRITE 4

/**
 * The most refusals that there are.
 */
#define TOLLBAR_REFUSALS 1024

/**
 * Whether a function did what it was asked to. It says nothing of the decision: a request that is refused is decided all the same.
 */
enum tollbar_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done.
     */
    TOLLBAR_STATUS_OK = 0,
    /**
     * A pointer is NULL that must not be, or a text has a length but no data.
     */
    TOLLBAR_STATUS_NULL_ARGUMENT = 1,
    /**
     * The `size` of a struct is too small, or larger than any will be (was it initialised by its TOLLBAR_..._INIT?), or there is
     * something in it that this version of the library does not know.
     */
    TOLLBAR_STATUS_INVALID_SIZE = 2,
    /**
     * A pointer is not aligned as its type has to be.
     */
    TOLLBAR_STATUS_MISALIGNED = 3,
    /**
     * A length is larger than any memory.
     */
    TOLLBAR_STATUS_TOO_LONG = 4,
    /**
     * A text is not UTF-8. Where it is the name of an agent or a service, the decision is "not allowed".
     */
    TOLLBAR_STATUS_INVALID_UTF8 = 5,
    /**
     * An address is of no family, or a text is no address.
     */
    TOLLBAR_STATUS_INVALID_ADDRESS = 6,
    /**
     * A number stands for nothing: an action, for instance.
     */
    TOLLBAR_STATUS_INVALID_VALUE = 7,
    /**
     * A client was made by no call of this library, or by one on another engine.
     */
    TOLLBAR_STATUS_INVALID_CLIENT = 8,
    /**
     * The configuration is wrong: see the tollbar_error.
     */
    TOLLBAR_STATUS_CONFIG = 9,
    /**
     * There is no file to watch.
     */
    TOLLBAR_STATUS_NO_FILE = 10,
    /**
     * The operating system refused.
     */
    TOLLBAR_STATUS_SYSTEM = 11,
    /**
     * The verification has not ended yet.
     */
    TOLLBAR_STATUS_PENDING = 12,
    /**
     * Something went wrong in the library. It can be used on; please report it.
     */
    TOLLBAR_STATUS_PANIC = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tollbar_status tollbar_status;
#else
typedef uint32_t tollbar_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a client wants to do.
 */
enum tollbar_action
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Send events.
     */
    TOLLBAR_ACTION_INGEST = 0,
    /**
     * Read the agent's central configuration.
     */
    TOLLBAR_ACTION_AGENT_CONFIG = 1,
    /**
     * Upload a source map.
     */
    TOLLBAR_ACTION_SOURCEMAP = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tollbar_action tollbar_action;
#else
typedef uint8_t tollbar_action;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a client was identified.
 */
enum tollbar_method
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It was not.
     */
    TOLLBAR_METHOD_UNIDENTIFIED = 0,
    /**
     * No authentication is configured: everybody gets in, without a rate limit.
     */
    TOLLBAR_METHOD_NONE = 1,
    /**
     * `Authorization: Bearer <secret token>`.
     */
    TOLLBAR_METHOD_SECRET_TOKEN = 2,
    /**
     * `Authorization: ApiKey base64(id:key)`.
     */
    TOLLBAR_METHOD_API_KEY = 3,
    /**
     * No credential was sent, and anonymous clients are allowed.
     */
    TOLLBAR_METHOD_ANONYMOUS = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tollbar_method tollbar_method;
#else
typedef uint8_t tollbar_method;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a decision came out as it did.
 */
enum tollbar_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No decision was made: see the status.
     */
    TOLLBAR_REASON_UNDECIDED = 0,
    /**
     * The request is allowed.
     */
    TOLLBAR_REASON_ALLOWED = 1,
    /**
     * No credential was sent, and anonymous clients are not allowed: 401.
     */
    TOLLBAR_REASON_MISSING_CREDENTIAL = 2,
    /**
     * The scheme of the authorization header is neither `Bearer` nor `ApiKey`: 401.
     */
    TOLLBAR_REASON_UNKNOWN_SCHEME = 3,
    /**
     * `Bearer`, but the token equals none of the secret tokens: 401.
     */
    TOLLBAR_REASON_INVALID_TOKEN = 4,
    /**
     * `ApiKey`, but the key is malformed, unknown or holds no privilege: 401.
     */
    TOLLBAR_REASON_INVALID_API_KEY = 5,
    /**
     * `ApiKey`, but API keys are not configured: 401.
     */
    TOLLBAR_REASON_API_KEY_NOT_CONFIGURED = 6,
    /**
     * The route is a RUM route and `apm-server.rum.enabled` is false: 403.
     */
    TOLLBAR_REASON_RUM_DISABLED = 7,
    /**
     * An anonymous client named an agent that is not in `allow_agent`: 403.
     */
    TOLLBAR_REASON_AGENT_NOT_ALLOWED = 8,
    /**
     * An anonymous client named a service that is not in `allow_service`: 403.
     */
    TOLLBAR_REASON_SERVICE_NOT_ALLOWED = 9,
    /**
     * An anonymous client asked for something that needs a credential: 403.
     */
    TOLLBAR_REASON_ANONYMOUS_NOT_PERMITTED = 10,
    /**
     * The credential is valid but lacks the privilege for this action: 403.
     */
    TOLLBAR_REASON_MISSING_PRIVILEGE = 11,
    /**
     * The client's counter has no room now; it will have after `retry_after_ns`: 429.
     */
    TOLLBAR_REASON_RATE_LIMITED = 12,
    /**
     * More events at once than the burst: they never fit, whatever the client waits: 429.
     */
    TOLLBAR_REASON_EXCEEDS_BURST = 13,
    /**
     * The credential cannot be verified now: 503. Not an authentication failure.
     */
    TOLLBAR_REASON_UNAVAILABLE = 14,
    /**
     * The API key has to be verified first, which would block: go on with tollbar_verify(), tollbar_start_verification() or
     * tollbar_verify_async(). 503 to those who don't.
     */
    TOLLBAR_REASON_PENDING = 15,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tollbar_reason tollbar_reason;
#else
typedef uint8_t tollbar_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A setting that has a default of its own.
 */
enum tollbar_switch
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * As documented for the setting.
     */
    TOLLBAR_SWITCH_DEFAULT = 0,
    /**
     * On.
     */
    TOLLBAR_SWITCH_ON = 1,
    /**
     * Off.
     */
    TOLLBAR_SWITCH_OFF = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tollbar_switch tollbar_switch;
#else
typedef uint8_t tollbar_switch;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What is checked of a server's certificate.
 */
enum tollbar_tls_check
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Chain and host name.
     */
    TOLLBAR_TLS_CHECK_FULL = 0,
    /**
     * Like full; a certificate without a subject alternative name is an error.
     */
    TOLLBAR_TLS_CHECK_STRICT = 1,
    /**
     * The chain, not the host name.
     */
    TOLLBAR_TLS_CHECK_CERTIFICATE = 2,
    /**
     * Nothing: for tests only.
     */
    TOLLBAR_TLS_CHECK_NONE = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tollbar_tls_check tollbar_tls_check;
#else
typedef uint8_t tollbar_tls_check;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a verifier found.
 */
enum tollbar_verdict
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It can't be said now: 503, and nothing is kept.
     */
    TOLLBAR_VERDICT_UNAVAILABLE = 0,
    /**
     * The key is valid, and its privileges were written. One without any counts as not valid.
     */
    TOLLBAR_VERDICT_VALID = 1,
    /**
     * The key is not valid: 401.
     */
    TOLLBAR_VERDICT_INVALID = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tollbar_verdict tollbar_verdict;
#else
typedef uint32_t tollbar_verdict;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Decides who gets in. Make one and share it among all threads: every function may be called from any of them at any time, but for
 * tollbar_engine_free().
 */
typedef struct tollbar_engine tollbar_engine;

/**
 * A verification that was started. Free it with tollbar_verification_free(), whether it has ended or not. It may outlive its engine.
 */
typedef struct tollbar_verification tollbar_verification;

/**
 * Watches the configuration's files until it is stopped.
 */
typedef struct tollbar_watcher tollbar_watcher;

/**
 * Text or bytes of the caller's, borrowed for the duration of the call. It need not end with a NUL, and may hold some.
 *
 * `data` NULL with `len` 0 means that there is none; `data` not NULL with `len` 0 is empty. tollbar_str_of() makes one of a C string.
 */
typedef struct tollbar_str {
    /**
     * The first byte.
     */
    const char *data;
    /**
     * How many bytes.
     */
    size_t len;
} tollbar_str;

/**
 * An IP address: of a socket's peer, for instance. A zeroed one is none.
 */
typedef struct tollbar_ip {
    /**
     * In network byte order; of IPv4 the first four.
     */
    uint8_t bytes[16];
    /**
     * 4, 6, or 0: none.
     */
    uint8_t family;
} tollbar_ip;

/**
 * What went wrong, in words. Begin with TOLLBAR_ERROR_INIT, point `text` or `json` or both to buffers of yours, and hand it to a
 * function that takes one. It is written in any case; after success the text is empty.
 *
 * Texts end with a NUL, and are cut if they don't fit: their full length is told, so that you can try again with a larger buffer. No
 * secret is ever part of them.
 */
typedef struct tollbar_error {
    /**
     * sizeof(tollbar_error)
     */
    size_t size;
    /**
     * Where the text goes: a line for each problem, `file:line:column: key: found ...; accepted ...; did you mean ...?`. Or NULL.
     */
    char *text;
    /**
     * How many bytes there are at `text`, the NUL included.
     */
    size_t text_capacity;
    /**
     * Written: the length of the whole text without its NUL.
     */
    size_t text_len;
    /**
     * Where the same goes as JSON: `{"status": 9, "message": ..., "problems": [{"file", "line", "column", "key", "found",
     * "accepted", "hint"}]}`, where each may be null but `found` and `accepted`. Or NULL.
     */
    char *json;
    /**
     * How many bytes there are at `json`, the NUL included.
     */
    size_t json_capacity;
    /**
     * Written: the length of the whole JSON without its NUL.
     */
    size_t json_len;
    /**
     * Written: how many problems the configuration has, at most 1000.
     */
    size_t problems;
    /**
     * Written: what the function returned.
     */
    tollbar_status status;
} tollbar_error;

/**
 * A network: the addresses that have their first `prefix` bits in common with `ip`.
 */
typedef struct tollbar_network {
    /**
     * An address of the network.
     */
    struct tollbar_ip ip;
    /**
     * How many bits, from the left.
     */
    uint8_t prefix;
} tollbar_network;

/**
 * An API key that is verified locally.
 */
typedef struct tollbar_local_key {
    /**
     * What stands before the colon of the decoded credential.
     */
    struct tollbar_str id;
    /**
     * What `tollbar keygen` printed for it.
     */
    struct tollbar_str hash;
    /**
     * What the key may do: TOLLBAR_PRIVILEGE_... added up.
     */
    uint32_t privileges;
} tollbar_local_key;

/**
 * Certificates or a key in PEM: from a file, or as text. Both NULL: none.
 */
typedef struct tollbar_pem {
    /**
     * The file's path.
     */
    struct tollbar_str file;
    /**
     * The text itself.
     */
    struct tollbar_str text;
} tollbar_pem;

/**
 * A configuration that the program builds. Begin with TOLLBAR_CONFIG_INIT: no authentication, RUM off. Zero stands for the default in
 * every field. Everything is copied, so nothing needs to live on.
 */
typedef struct tollbar_config {
    /**
     * sizeof(tollbar_config)
     */
    size_t size;
    /**
     * `apm-server.auth.secret_token`: every one is valid.
     */
    const struct tollbar_str *secret_tokens;
    /**
     * How many.
     */
    size_t secret_tokens_len;
    /**
     * `apm-server.auth.anonymous.allow_agent`: agents that are let in. None: `rum-js` and `js-base`; see `any_agent`.
     */
    const struct tollbar_str *allow_agent;
    /**
     * How many.
     */
    size_t allow_agent_len;
    /**
     * `apm-server.auth.anonymous.allow_service`: services that are let in. None: all.
     */
    const struct tollbar_str *allow_service;
    /**
     * How many.
     */
    size_t allow_service_len;
    /**
     * `apm-server.rum.allow_origins`: origins whose pages may send to the RUM routes. None: `*`, which is all; that no page may send, only YAML can say.
     */
    const struct tollbar_str *rum_allow_origins;
    /**
     * How many.
     */
    size_t rum_allow_origins_len;
    /**
     * `apm-server.rum.allow_headers`: headers that pages may send besides those that agents do.
     */
    const struct tollbar_str *rum_allow_headers;
    /**
     * How many.
     */
    size_t rum_allow_headers_len;
    /**
     * `tollbar.trusted_proxies`: whose forwarding headers are believed.
     */
    const struct tollbar_network *trusted_proxies;
    /**
     * How many.
     */
    size_t trusted_proxies_len;
    /**
     * `apm-server.auth.api_key.keys`: keys that are verified locally.
     */
    const struct tollbar_local_key *api_keys;
    /**
     * How many.
     */
    size_t api_keys_len;
    /**
     * `apm-server.auth.api_key.elasticsearch.hosts`: full URLs with port.
     */
    const struct tollbar_str *elasticsearch_hosts;
    /**
     * How many.
     */
    size_t elasticsearch_hosts_len;
    /**
     * `...elasticsearch.ssl.certificate_authorities`. None: the system's.
     */
    const struct tollbar_pem *elasticsearch_authorities;
    /**
     * How many.
     */
    size_t elasticsearch_authorities_len;
    /**
     * `...elasticsearch.ssl.certificate`: the client's certificate.
     */
    struct tollbar_pem elasticsearch_certificate;
    /**
     * `...elasticsearch.ssl.key`: the client's private key.
     */
    struct tollbar_pem elasticsearch_key;
    /**
     * `...elasticsearch.timeout` in nanoseconds: how long a verification may take. Default 5 s.
     */
    uint64_t elasticsearch_timeout_ns;
    /**
     * `apm-server.auth.anonymous.rate_limit.ip_limit`: how many clients have a counter of their own. Default 1000.
     */
    uint32_t ip_limit;
    /**
     * `apm-server.auth.anonymous.rate_limit.event_limit`: events a second for each. Default 300.
     */
    uint32_t event_limit;
    /**
     * `tollbar.burst_multiplier`: burst = `event_limit` times this. Default 3.
     */
    uint32_t burst_multiplier;
    /**
     * `apm-server.auth.api_key.limit`: how many valid keys the cache of verdicts holds. Default 100.
     */
    uint32_t api_key_limit;
    /**
     * `tollbar.ipv6_prefix`: IPv6 clients are counted per prefix of this length. Default 64.
     */
    uint8_t ipv6_prefix;
    /**
     * `apm-server.auth.anonymous.enabled`. Default: on if RUM is on and some authentication is configured.
     */
    tollbar_switch anonymous;
    /**
     * Let in all agents, whatever `allow_agent` says.
     */
    bool any_agent;
    /**
     * `apm-server.rum.enabled`: opens the RUM routes.
     */
    bool rum_enabled;
    /**
     * `apm-server.auth.api_key.enabled`: accept API keys.
     */
    bool api_key_enabled;
    /**
     * `...elasticsearch.ssl.enabled`. Default: on for hosts whose URL is https.
     */
    tollbar_switch elasticsearch_ssl;
    /**
     * `...elasticsearch.ssl.verification_mode`.
     */
    tollbar_tls_check elasticsearch_tls_check;
} tollbar_config;

/**
 * A header of a request: the name in any case, and the value as it came.
 */
typedef struct tollbar_header {
    /**
     * Such as `X-Forwarded-For`.
     */
    struct tollbar_str name;
    /**
     * Bytes; they need not be UTF-8.
     */
    struct tollbar_str value;
} tollbar_header;

/**
 * What there is to know of a request before its body is read. Begin with TOLLBAR_REQUEST_INIT.
 */
typedef struct tollbar_request {
    /**
     * sizeof(tollbar_request)
     */
    size_t size;
    /**
     * The value of the first `Authorization` header. NULL: it is looked up among `headers`.
     */
    struct tollbar_str authorization;
    /**
     * The headers in order of arrival. Read are only `Forwarded`, `X-Real-IP`, `X-Forwarded-For`, and those only if the peer is a
     * trusted proxy, and `Authorization`: you may leave out all others.
     */
    const struct tollbar_header *headers;
    /**
     * How many headers.
     */
    size_t headers_len;
    /**
     * The address of the socket's peer.
     */
    struct tollbar_ip peer;
} tollbar_request;

/**
 * What is asked about a request. Begin with TOLLBAR_QUESTION_INIT, which is also what NULL stands for: may one event of an agent
 * and a service that are not known be ingested now?
 */
typedef struct tollbar_question {
    /**
     * sizeof(tollbar_question)
     */
    size_t size;
    /**
     * How many events an anonymous client is charged: 1 by TOLLBAR_QUESTION_INIT. 0 charges nothing.
     */
    uint64_t cost;
    /**
     * On whose behalf: the agent's name in UTF-8, such as `rum-js`. NULL: not known.
     */
    struct tollbar_str agent;
    /**
     * The service's name in UTF-8. NULL: not known.
     */
    struct tollbar_str service;
    /**
     * What the client wants to do.
     */
    tollbar_action action;
    /**
     * Whether the route is a RUM route, which `apm-server.rum.enabled` opens.
     */
    bool rum;
} tollbar_question;

/**
 * The engine's answer: a plain value. Begin with TOLLBAR_DECISION_INIT; it may be used again and again.
 *
 * A function that takes one writes it whatever comes of it, if it is no NULL and large enough: where no decision could be made,
 * `allowed` is false.
 */
typedef struct tollbar_decision {
    /**
     * sizeof(tollbar_decision)
     */
    size_t size;
    /**
     * Whether the request may go on.
     */
    bool allowed;
    /**
     * Why.
     */
    tollbar_reason reason;
    /**
     * How the client was identified.
     */
    tollbar_method method;
    /**
     * What was asked for.
     */
    tollbar_action action;
    /**
     * 202 (200 for agent configuration), 401, 403, 429 or 503.
     */
    uint16_t http_status;
    /**
     * gRPC's own number: 0 OK, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED, 14 UNAVAILABLE, 16 UNAUTHENTICATED.
     */
    uint8_t grpc_status;
    /**
     * How many bits of `client` are counted, from the left: 128 for IPv4.
     */
    uint8_t client_prefix;
    /**
     * Whom the rate limit counts: an IPv6 address in network byte order, or IPv4 as `::ffff:a.b.c.d`. tollbar_client_text() writes it.
     */
    uint8_t client[16];
    /**
     * Why no decision was made, if none was: what the function returned or, of a batch, what it would have returned for this one alone.
     */
    tollbar_status status;
    /**
     * The value of HTTP's `Retry-After`: whole seconds, rounded up; 0: none.
     */
    uint32_t retry_after_s;
    /**
     * Nanoseconds until the refused batch (of a peek: the next event) would fit, exact. 0: it fits now, or was not counted.
     * TOLLBAR_NEVER: it never will.
     */
    uint64_t retry_after_ns;
    /**
     * Nanoseconds that the caller of tollbar_client_reserve() must sleep before it accepts the batch; 0 otherwise.
     */
    uint64_t wait_ns;
    /**
     * The number of the configuration under which this was decided: 1 at start, one more at each reload.
     */
    uint64_t generation;
    /**
     * The counter's theoretical arrival time after this decision, in nanoseconds of the same clock as `now_ns`.
     */
    uint64_t tat_ns;
    /**
     * The limit that it was decided under, in events a second; 0: no counter was consulted.
     */
    uint32_t event_limit;
    /**
     * The largest batch that ever fits is `event_limit` times this.
     */
    uint32_t burst_multiplier;
    /**
     * The instant of the decision.
     */
    uint64_t now_ns;
} tollbar_decision;

/**
 * A client that was identified, for servers that decide in steps: authorize each stream, admit each batch. A plain value of 80 bytes
 * that needs no free: copy it, keep it with the connection, drop it. It means something only to the engine that made it, as
 * long as that lives.
 */
typedef struct tollbar_client {
    /**
     * The library's own.
     */
    uint64_t opaque[10];
} tollbar_client;

/**
 * What tollbar_admit_ip() says.
 */
typedef struct tollbar_admission {
    /**
     * Nanoseconds until the refused batch would fit, exact. 0: it fits now, or was not counted. TOLLBAR_NEVER: it never will.
     */
    uint64_t retry_after_ns;
    /**
     * Why. TOLLBAR_REASON_UNDECIDED: no decision was made, since `engine` is NULL or misaligned, or `now_ns` is misaligned.
     */
    tollbar_reason reason;
    /**
     * How the client was identified: TOLLBAR_METHOD_ANONYMOUS, or TOLLBAR_METHOD_NONE.
     */
    tollbar_method method;
} tollbar_admission;

/**
 * What tollbar_admit_ips() is asked: as the arguments of tollbar_admit_ip().
 */
typedef struct tollbar_ip_charge {
    /**
     * The first eight bytes of the address as IPv6.
     */
    uint64_t high;
    /**
     * The others.
     */
    uint64_t low;
    /**
     * How many events.
     */
    uint64_t n;
} tollbar_ip_charge;

/**
 * What is called back with the client once its API key has been verified. It must not throw, and should be short.
 */
typedef void (*tollbar_verified_fn)(void *userdata, const struct tollbar_client *client);

/**
 * Verifies an API key: `id` stands before the colon of the decoded credential, the secret `key` after it; both are borrowed for the
 * duration of the call. Writes TOLLBAR_PRIVILEGE_... added up to `*privileges`, which is 0 before, and returns a
 * tollbar_verdict. Any other number and any unknown privilege is TOLLBAR_VERDICT_UNAVAILABLE.
 *
 * It may block. It is called in the thread of whoever waits for the verdict, or in one of the engine's, several at once but never twice
 * at once for one key. It must not throw, nor ask the engine to verify the same key: that would wait for itself.
 */
typedef tollbar_verdict (*tollbar_verifier_fn)(void *userdata,
                                               struct tollbar_str id,
                                               struct tollbar_str key,
                                               uint32_t *privileges);

/**
 * Frees what was given along with a callback.
 */
typedef void (*tollbar_free_fn)(void *userdata);

/**
 * How files are watched. Begin with TOLLBAR_WATCH_OPTIONS_INIT: 100 ms of quiet, and a look every 10 s.
 */
typedef struct tollbar_watch_options {
    /**
     * sizeof(tollbar_watch_options)
     */
    size_t size;
    /**
     * How long the files must be quiet before they are read, in nanoseconds.
     */
    uint64_t debounce_ns;
    /**
     * How often the files are looked at even though nothing was reported, as on network file systems, in nanoseconds. 0: never.
     */
    uint64_t poll_ns;
} tollbar_watch_options;

/**
 * Statistics. Begin with TOLLBAR_STATS_INIT. Counters are totals since the engine was made, unless they say otherwise.
 */
typedef struct tollbar_stats {
    /**
     * sizeof(tollbar_stats)
     */
    size_t size;
    /**
     * The number of the configuration in force: 1 at start, one more at each reload.
     */
    uint64_t generation;
    /**
     * Reloads that were refused; the configuration before stayed in force.
     */
    uint64_t reload_errors;
    /**
     * Decisions that allowed, by tollbar_method. Every answer counts: a request, an authorization, a batch.
     */
    uint64_t allowed[8];
    /**
     * Decisions that refused, by tollbar_reason.
     */
    uint64_t refused[32];
    /**
     * Refusals that came too fast to be recorded one by one. They are counted in `refused` all the same.
     */
    uint64_t refusals_not_recorded;
    /**
     * How many clients can have a counter of their own.
     */
    uint64_t ip_limit;
    /**
     * Counters whose client could not send a full burst at this moment.
     */
    uint64_t live_counters;
    /**
     * How often a counter got a new owner. Starts anew when `ip_limit` changes.
     */
    uint64_t claimed_counters;
    /**
     * How often that displaced a client whose counter was live: if this grows, `ip_limit` is too small or somebody is flooding. Starts
     * anew when `ip_limit` changes.
     */
    uint64_t displaced_clients;
    /**
     * Verifications of API keys that were started.
     */
    uint64_t verifications_started;
    /**
     * Those that came to no verdict.
     */
    uint64_t verifications_unavailable;
    /**
     * Those that were not started because the client had used up its budget of unknown keys: somebody is guessing.
     */
    uint64_t verifications_over_budget;
    /**
     * Verdicts in store on valid keys.
     */
    uint64_t valid_keys_held;
    /**
     * Verdicts in store on keys that are not valid.
     */
    uint64_t invalid_keys_held;
} tollbar_stats;

/**
 * A name of at most 64 bytes; a longer one was cut. It is what a client sent: escape it where that matters.
 */
typedef struct tollbar_name {
    /**
     * UTF-8, and a NUL at its end.
     */
    char data[65];
    /**
     * How many bytes; some may be NUL.
     */
    uint8_t len;
    /**
     * Whether there is a name at all.
     */
    bool known;
} tollbar_name;

/**
 * A request, a stream or a batch that was refused. Begin with TOLLBAR_REFUSAL_INIT.
 */
typedef struct tollbar_refusal {
    /**
     * sizeof(tollbar_refusal)
     */
    size_t size;
    /**
     * When, by the system's clock: nanoseconds since 1970.
     */
    uint64_t time_unix_ns;
    /**
     * When, in nanoseconds since the engine was made, by its own monotonic clock.
     */
    uint64_t at_ns;
    /**
     * The number of the configuration under which this was decided.
     */
    uint64_t generation;
    /**
     * Whom the rate limit counts, as in a tollbar_decision.
     */
    uint8_t client[16];
    /**
     * How many bits of `client` are counted.
     */
    uint8_t client_prefix;
    /**
     * Why.
     */
    tollbar_reason reason;
    /**
     * How the client was identified.
     */
    tollbar_method method;
    /**
     * What the client wanted to do.
     */
    tollbar_action action;
    /**
     * The agent that was named, as far as it was known.
     */
    struct tollbar_name agent;
    /**
     * The service that was named, as far as it was known.
     */
    struct tollbar_name service;
    /**
     * The id of the API key that was presented, never its secret. If the key was not valid, the id is what the client claims.
     */
    struct tollbar_name credential_id;
} tollbar_refusal;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The TOLLBAR_ABI_VERSION that the library was built with: a program that loads it at run time compares the two.
 */
uint32_t tollbar_abi_version(void);

/**
 * The library's version, such as "0.1.0": static text.
 */
const char *tollbar_version(void);

/**
 * Whether the library can do this: "elasticsearch" (verify API keys against Elasticsearch), "watch" (reload when files change),
 * "prometheus". Unknown names are false.
 */
bool tollbar_has_feature(struct tollbar_str name);

/**
 * What a status means, in a few words: static text, never NULL.
 */
const char *tollbar_status_str(tollbar_status status);

/**
 * An address from text, as servers write it: `203.0.113.9`, `203.0.113.9:8200`, `2001:db8::1`, `[2001:db8::1]:8200`, `fe80::1%eth0`.
 * Port and zone are dropped.
 *
 * TOLLBAR_STATUS_INVALID_ADDRESS: the text is none; `*ip` is zeroed then.
 */
tollbar_status tollbar_ip_parse(struct tollbar_str text,
                                struct tollbar_ip *ip);

/**
 * A client as it is counted, as text: `203.0.113.9`, `2001:db8::/64`. `client` and `prefix` are those of a tollbar_decision or a
 * tollbar_refusal. Needs at most TOLLBAR_CLIENT_TEXT bytes.
 *
 * Returns the text's length without the NUL, whether it fitted or not; 0 if `client` is NULL.
 */
size_t tollbar_client_text(const uint8_t *client,
                           uint8_t prefix,
                           char *buffer,
                           size_t capacity);

/**
 * Makes an engine with the configuration of a file in the shape of apm-server.yml. Variables `${VAR}` are taken from the
 * process environment; relative paths begin at the file's folder.
 *
 * `*engine` is a new engine, to be freed with tollbar_engine_free(), or NULL if the status is not TOLLBAR_STATUS_OK.
 * TOLLBAR_STATUS_CONFIG: everything that is wrong is in `*error`, which may be NULL.
 */
tollbar_status tollbar_engine_from_file(struct tollbar_str path,
                                        struct tollbar_engine **engine,
                                        struct tollbar_error *error);

/**
 * As tollbar_engine_from_file(), with a configuration as YAML text. Relative paths begin at the working directory.
 */
tollbar_status tollbar_engine_from_yaml(struct tollbar_str yaml,
                                        struct tollbar_engine **engine,
                                        struct tollbar_error *error);

/**
 * As tollbar_engine_from_file(), with a configuration that the program builds. Everything is copied; NULL stands for
 * TOLLBAR_CONFIG_INIT.
 */
tollbar_status tollbar_engine_from_config(const struct tollbar_config *config,
                                          struct tollbar_engine **engine,
                                          struct tollbar_error *error);

/**
 * Frees an engine; NULL is fine. No other call on it may be under way or follow. Verifications that are under way end in their own
 * time, and watchers have nothing more to do, but must be stopped all the same.
 */
void tollbar_engine_free(struct tollbar_engine *engine);

/**
 * Decides a whole request: authentication; if anonymous, the charge of `question->cost` events; with `question->rum`, whether RUM routes
 * are open; authorization. Blocks never: an API key that has to be verified first is TOLLBAR_REASON_PENDING.
 *
 * `question` NULL: as TOLLBAR_QUESTION_INIT. `now_ns`: nanoseconds of a monotonic clock of yours, always the same one; NULL: the
 * library's own.
 */
tollbar_status tollbar_check(const struct tollbar_engine *engine,
                             const struct tollbar_request *request,
                             const struct tollbar_question *question,
                             const uint64_t *now_ns,
                             struct tollbar_decision *decision);

/**
 * As tollbar_check() for many requests at one instant: `decisions[i]` answers `requests[i]` and `questions[i]`, as if all had been
 * asked in order. `questions` NULL: each as TOLLBAR_QUESTION_INIT.
 *
 * The size of each struct is that of the first in its array; the others' need not be set. A request that is malformed is refused and told
 * by its decision's `status`, the first of which is returned; the others are decided all the same.
 */
tollbar_status tollbar_check_batch(const struct tollbar_engine *engine,
                                   const struct tollbar_request *requests,
                                   const struct tollbar_question *questions,
                                   size_t len,
                                   const uint64_t *now_ns,
                                   struct tollbar_decision *decisions);

/**
 * Identifies a client, for a server that decides the rest in steps. Charges nothing. A client that was refused is written as well: it
 * answers every later question with that refusal, so there is nothing to look at here.
 *
 * If the status is not TOLLBAR_STATUS_OK, `*client` is zeroed: every call refuses it with TOLLBAR_STATUS_INVALID_CLIENT.
 */
tollbar_status tollbar_authenticate(const struct tollbar_engine *engine,
                                    const struct tollbar_request *request,
                                    const uint64_t *now_ns,
                                    struct tollbar_client *client);

/**
 * As tollbar_check(), but never TOLLBAR_REASON_PENDING: waits as tollbar_verify() does.
 */
tollbar_status tollbar_check_blocking(const struct tollbar_engine *engine,
                                      const struct tollbar_request *request,
                                      const struct tollbar_question *question,
                                      const uint64_t *now_ns,
                                      struct tollbar_decision *decision);

/**
 * The stable name of a reason: "allowed", "invalid_token", "rate_limited"; "undecided" if it is none. Static text, never NULL.
 */
const char *tollbar_reason_str(tollbar_reason reason);

/**
 * The stable name of a method: "none", "secret_token", "api_key", "anonymous"; "unidentified" if it is none. Static text, never NULL.
 */
const char *tollbar_method_str(tollbar_method method);

/**
 * The stable name of an action: "ingest", "agent_config", "sourcemap"; "unknown" if it is none. Static text, never NULL.
 */
const char *tollbar_action_str(tollbar_action action);

/**
 * Why, as a sentence for the client. It names the agent or service that is not permitted, with its first 64 bytes, escaped; and no
 * secret. `agent` and `service` are those that were asked about, or NULL. Needs at most TOLLBAR_MESSAGE bytes.
 *
 * Returns the text's length without the NUL, whether it fitted or not; 0 if `decision` is NULL or too small.
 */
size_t tollbar_decision_message(const struct tollbar_decision *decision,
                                struct tollbar_str agent,
                                struct tollbar_str service,
                                char *buffer,
                                size_t capacity);

/**
 * Events that would still fit at the instant of the decision; TOLLBAR_NEVER where no counter was consulted, since there is no limit.
 */
uint64_t tollbar_decision_remaining(const struct tollbar_decision *decision);

/**
 * The largest batch that ever fits, in events; TOLLBAR_NEVER where no counter was consulted, since there is no limit.
 */
uint64_t tollbar_decision_burst(const struct tollbar_decision *decision);

/**
 * The value of HTTP's `WWW-Authenticate`: static text for a 401, NULL for all others.
 */
const char *tollbar_decision_www_authenticate(const struct tollbar_decision *decision);

/**
 * What authentication came to: allowed, 401, or pending.
 */
tollbar_status tollbar_client_decision(const struct tollbar_engine *engine,
                                       const struct tollbar_client *client,
                                       struct tollbar_decision *decision);

/**
 * The rest of what tollbar_check() does, for a client that was identified already: the charge, the route, authorization.
 */
tollbar_status tollbar_client_check(const struct tollbar_engine *engine,
                                    const struct tollbar_client *client,
                                    const struct tollbar_question *question,
                                    const uint64_t *now_ns,
                                    struct tollbar_decision *decision);

/**
 * Whether RUM routes are open: 403 while `apm-server.rum.enabled` is false.
 */
tollbar_status tollbar_client_rum_route(const struct tollbar_engine *engine,
                                        const struct tollbar_client *client,
                                        struct tollbar_decision *decision);

/**
 * Whether the client may do this on behalf of this agent and service, each NULL if it is not known. Charges nothing.
 */
tollbar_status tollbar_client_authorize(const struct tollbar_engine *engine,
                                        const struct tollbar_client *client,
                                        tollbar_action action,
                                        struct tollbar_str agent,
                                        struct tollbar_str service,
                                        struct tollbar_decision *decision);

/**
 * Charges a batch of `n` events, if the client is anonymous; before any of them is accepted. 0 is a peek: it charges nothing and
 * tells what remains.
 */
tollbar_status tollbar_client_admit(const struct tollbar_engine *engine,
                                    const struct tollbar_client *client,
                                    uint64_t n,
                                    const uint64_t *now_ns,
                                    struct tollbar_decision *decision);

/**
 * As tollbar_client_admit(), but also charges a batch that will fit within `max_wait_ns`. If it is allowed, sleep
 * `decision->wait_ns` before you accept it.
 */
tollbar_status tollbar_client_reserve(const struct tollbar_engine *engine,
                                      const struct tollbar_client *client,
                                      uint64_t n,
                                      uint64_t max_wait_ns,
                                      const uint64_t *now_ns,
                                      struct tollbar_decision *decision);

/**
 * As tollbar_client_admit() for many clients at one instant: `decisions[i]` says whether the `ns[i]` events of `clients[i]` are
 * admitted, as if all had been asked in order.
 *
 * The size of each decision is that of the first; the others' need not be set. A client that is none is refused and told by its
 * decision's `status`, the first of which is returned; the others are decided all the same.
 */
tollbar_status tollbar_admit_batch(const struct tollbar_engine *engine,
                                   const struct tollbar_client *clients,
                                   const uint64_t *ns,
                                   size_t len,
                                   const uint64_t *now_ns,
                                   struct tollbar_decision *decisions);

/**
 * Charges `n` events to an address that sends no credential: in one call what tollbar_authenticate() and
 * tollbar_client_admit() come to for a request with neither headers nor authorization, whose agent and service are not looked at.
 * For floods, where a refusal should cost next to nothing.
 *
 * The address is given as IPv6, in two halves: `high` holds its first eight bytes, the first of all being the most significant; of IPv4
 * it is `::ffff:a.b.c.d`. `now_ns` as everywhere.
 */
struct tollbar_admission tollbar_admit_ip(const struct tollbar_engine *engine,
                                          uint64_t high,
                                          uint64_t low,
                                          uint64_t n,
                                          const uint64_t *now_ns);

/**
 * As tollbar_admit_ip() for many addresses at one instant: `admissions[i]` answers `charges[i]`, as if all had been asked in order.
 *
 * If the status is not TOLLBAR_STATUS_OK, nothing was charged; where there is room, every admission is TOLLBAR_REASON_UNDECIDED.
 */
tollbar_status tollbar_admit_ips(const struct tollbar_engine *engine,
                                 const struct tollbar_ip_charge *charges,
                                 size_t len,
                                 const uint64_t *now_ns,
                                 struct tollbar_admission *admissions);

/**
 * As tollbar_authenticate(), but never pending: an API key that has to be verified is verified now, in this thread, or this thread waits
 * for another one that verifies it already. Blocks for as long as the verifier takes, with Elasticsearch at most
 * tollbar_engine_verification_timeout().
 */
tollbar_status tollbar_verify(const struct tollbar_engine *engine,
                              const struct tollbar_request *request,
                              const uint64_t *now_ns,
                              struct tollbar_client *client);

/**
 * Starts to verify the API key of this request in a thread of the engine's, for callers that must not block. If there is nothing to
 * verify, the verification has ended already. What it needs of the request is copied.
 */
tollbar_status tollbar_start_verification(const struct tollbar_engine *engine,
                                          const struct tollbar_request *request,
                                          const uint64_t *now_ns,
                                          struct tollbar_verification **verification);

/**
 * Writes the client, if the verification has ended. TOLLBAR_STATUS_PENDING: it has not yet.
 */
tollbar_status tollbar_verification_poll(const struct tollbar_verification *verification,
                                         struct tollbar_client *client);

/**
 * Waits until the verification has ended, but no longer than `timeout_ns`, and writes the client. TOLLBAR_NEVER: as long as it takes.
 * TOLLBAR_STATUS_PENDING: it has not ended yet. Several threads may wait for one.
 */
tollbar_status tollbar_verification_wait(const struct tollbar_verification *verification,
                                         uint64_t timeout_ns,
                                         struct tollbar_client *client);

/**
 * Frees a verification; NULL is fine. It stops nothing: the verdict is kept for others. No other call on it may be under way or follow.
 */
void tollbar_verification_free(struct tollbar_verification *verification);

/**
 * As tollbar_start_verification(), but calls back: exactly once if the status is TOLLBAR_STATUS_OK, in the thread that verifies, or in this
 * one before this call returns if there is nothing to verify; never otherwise. `*client` is there for the duration of the callback.
 */
tollbar_status tollbar_verify_async(const struct tollbar_engine *engine,
                                    const struct tollbar_request *request,
                                    const uint64_t *now_ns,
                                    tollbar_verified_fn callback,
                                    void *userdata);

/**
 * Nanoseconds that a verification may take: `apm-server.auth.api_key.elasticsearch.timeout`. Who waits should not wait longer. 0 if
 * `engine` is NULL.
 */
uint64_t tollbar_engine_verification_timeout(const struct tollbar_engine *engine);

/**
 * Has API keys that are not local verified by a callback instead of Elasticsearch; NULL: by Elasticsearch again. Drops all verdicts.
 * Reloads leave it in place. API keys must be enabled in the configuration all the same.
 *
 * `free_userdata`, unless it is NULL, is called with `userdata` exactly once, when nothing needs it any more: in any thread, and also
 * if this call fails. TOLLBAR_STATUS_CONFIG: Elasticsearch is to take over and can't; nothing has changed.
 */
tollbar_status tollbar_set_verifier(const struct tollbar_engine *engine,
                                    tollbar_verifier_fn verifier,
                                    void *userdata,
                                    tollbar_free_fn free_userdata,
                                    struct tollbar_error *error);

/**
 * Replaces the configuration with that of a file, whole or not at all. `path` NULL: of the file that the one in force came from.
 *
 * Live counters are kept: nobody is refilled, and changed limits hold at once. Decisions go on meanwhile. `*generation`, unless it is
 * NULL, is the number of the new configuration. TOLLBAR_STATUS_CONFIG: the one before stays in force, the failure is counted, and
 * everything that is wrong is in `*error`, which may be NULL.
 */
tollbar_status tollbar_reload_file(const struct tollbar_engine *engine,
                                   struct tollbar_str path,
                                   uint64_t *generation,
                                   struct tollbar_error *error);

/**
 * As tollbar_reload_file(), with a configuration as YAML text.
 */
tollbar_status tollbar_reload_yaml(const struct tollbar_engine *engine,
                                   struct tollbar_str yaml,
                                   uint64_t *generation,
                                   struct tollbar_error *error);

/**
 * As tollbar_reload_file(), with a configuration that the program builds; NULL stands for TOLLBAR_CONFIG_INIT.
 */
tollbar_status tollbar_reload_config(const struct tollbar_engine *engine,
                                     const struct tollbar_config *config,
                                     uint64_t *generation,
                                     struct tollbar_error *error);

/**
 * The last 32 reloads as JSON, oldest first: `[{"time_unix_ns", "generation", "taken", "changed": [keys], "problem_count",
 * "problems": [as in a tollbar_error]}]`. Keys of secrets are named, never their values.
 *
 * Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
 */
size_t tollbar_engine_reloads_json(const struct tollbar_engine *engine,
                                   char *buffer,
                                   size_t capacity);

/**
 * What works in the configuration in force but deserves a word, a line each: deprecated keys, keys without effect.
 *
 * Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
 */
size_t tollbar_engine_warnings(const struct tollbar_engine *engine, char *buffer, size_t capacity);

/**
 * The files that the configuration in force was read from, a line each.
 *
 * Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
 */
size_t tollbar_engine_files(const struct tollbar_engine *engine, char *buffer, size_t capacity);

/**
 * Reloads whenever a file of the configuration changes, in a thread of its own, until tollbar_watch_stop(). A configuration that is wrong, or
 * that would switch all authentication off, is refused; see tollbar_engine_reloads_json(). `options` NULL: as
 * TOLLBAR_WATCH_OPTIONS_INIT.
 *
 * `*watcher` is to be stopped with tollbar_watch_stop(), or NULL if the status is not TOLLBAR_STATUS_OK. TOLLBAR_STATUS_NO_FILE: the
 * configuration came from a text or a program. TOLLBAR_STATUS_SYSTEM: why is in `*error`, which may be NULL.
 */
tollbar_status tollbar_watch_start(const struct tollbar_engine *engine,
                                   const struct tollbar_watch_options *options,
                                   struct tollbar_watcher **watcher,
                                   struct tollbar_error *error);

/**
 * Stops watching and frees the watcher; waits for a reload that is under way. NULL is fine. No other call on it may be under way
 * or follow.
 */
void tollbar_watch_stop(struct tollbar_watcher *watcher);

/**
 * Writes the statistics of this moment. Reads the whole counter table: milliseconds for a million counters.
 */
tollbar_status tollbar_engine_stats(const struct tollbar_engine *engine,
                                    const uint64_t *now_ns,
                                    struct tollbar_stats *stats);

/**
 * The statistics of this moment as a page for Prometheus, of content type `text/plain; version=0.0.4`. 8192 bytes are plenty.
 *
 * Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
 */
size_t tollbar_engine_prometheus(const struct tollbar_engine *engine,
                                 char *buffer,
                                 size_t capacity);

/**
 * Why the last verification that came to no verdict did not; empty if there was none. It holds no secret.
 *
 * Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
 */
size_t tollbar_engine_verification_error(const struct tollbar_engine *engine, char *buffer, size_t capacity);

/**
 * Writes the recent refusals, oldest first: the last 64 of each reason. Of a flood, what is beyond 32 a second is left out. Reading takes
 * nothing away.
 *
 * `refusals` has room for `capacity`, where the first has its `size` set; if there are more, the latest are written.
 * `*count` is how many were written, and `*total`, unless it is NULL, how many there are: with a `capacity` of 0 only they are
 * told. There are never more than TOLLBAR_REFUSALS.
 */
tollbar_status tollbar_engine_refusals(const struct tollbar_engine *engine,
                                       struct tollbar_refusal *refusals,
                                       size_t capacity,
                                       size_t *count,
                                       size_t *total);

/**
 * Whether a page of this origin may send to the RUM routes: `apm-server.rum.allow_origins`. `origin` is the value of the header
 * `Origin`; NULL or empty: there is none, which only `*` allows. False if `engine` is NULL.
 */
bool tollbar_engine_allows_origin(const struct tollbar_engine *engine,
                                  struct tollbar_str origin);

/**
 * The headers that pages may send to the RUM routes besides those that RUM agents do, separated by a comma and a space:
 * `apm-server.rum.allow_headers`.
 *
 * Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
 */
size_t tollbar_engine_allow_headers(const struct tollbar_engine *engine, char *buffer, size_t capacity);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* The initial values of structs: `tollbar_request request = TOLLBAR_REQUEST_INIT;` */

#define TOLLBAR_STR_NULL { NULL, 0 }

#define TOLLBAR_IP_NONE { { 0 }, 0 }

#define TOLLBAR_PEM_NONE { TOLLBAR_STR_NULL, TOLLBAR_STR_NULL }

#define TOLLBAR_REQUEST_INIT { sizeof(tollbar_request), TOLLBAR_STR_NULL, NULL, 0, TOLLBAR_IP_NONE }

#define TOLLBAR_QUESTION_INIT \
    { sizeof(tollbar_question), 1, TOLLBAR_STR_NULL, TOLLBAR_STR_NULL, TOLLBAR_ACTION_INGEST, false }

#define TOLLBAR_DECISION_INIT \
    { sizeof(tollbar_decision), false, TOLLBAR_REASON_UNDECIDED, TOLLBAR_METHOD_UNIDENTIFIED, TOLLBAR_ACTION_INGEST, \
      0, 0, 0, { 0 }, TOLLBAR_STATUS_OK, 0, 0, 0, 0, 0, 0, 0, 0 }

#define TOLLBAR_CLIENT_INIT { { 0 } }

#define TOLLBAR_ERROR_INIT { sizeof(tollbar_error), NULL, 0, 0, NULL, 0, 0, 0, TOLLBAR_STATUS_OK }

#define TOLLBAR_CONFIG_INIT \
    { sizeof(tollbar_config), NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, \
      TOLLBAR_PEM_NONE, TOLLBAR_PEM_NONE, 0, 0, 0, 0, 0, 0, TOLLBAR_SWITCH_DEFAULT, false, false, false, TOLLBAR_SWITCH_DEFAULT, \
      TOLLBAR_TLS_CHECK_FULL }

#define TOLLBAR_WATCH_OPTIONS_INIT { sizeof(tollbar_watch_options), 100000000, 10000000000 }

#define TOLLBAR_STATS_INIT { sizeof(tollbar_stats), 0, 0, { 0 }, { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

#define TOLLBAR_NAME_NONE { { 0 }, 0, false }

#define TOLLBAR_REFUSAL_INIT \
    { sizeof(tollbar_refusal), 0, 0, 0, { 0 }, 0, TOLLBAR_REASON_UNDECIDED, TOLLBAR_METHOD_UNIDENTIFIED, \
      TOLLBAR_ACTION_INGEST, TOLLBAR_NAME_NONE, TOLLBAR_NAME_NONE, TOLLBAR_NAME_NONE }

/* A C string as a tollbar_str; NULL stays NULL. */
static inline tollbar_str tollbar_str_of(const char *text)
{
    tollbar_str str = TOLLBAR_STR_NULL;
    if (text) {
        str.data = text;
        str.len = strlen(text);
    }
    return str;
}

/* An IPv4 address from its four bytes in network byte order, such as those of a `struct in_addr`. */
static inline tollbar_ip tollbar_ip_v4(const void *bytes)
{
    tollbar_ip ip = TOLLBAR_IP_NONE;
    memcpy(ip.bytes, bytes, 4);
    ip.family = 4;
    return ip;
}

/* An IPv6 address from its 16 bytes in network byte order, such as those of a `struct in6_addr`. */
static inline tollbar_ip tollbar_ip_v6(const void *bytes)
{
    tollbar_ip ip = TOLLBAR_IP_NONE;
    memcpy(ip.bytes, bytes, 16);
    ip.family = 6;
    return ip;
}

#endif /* TOLLBAR_H */
