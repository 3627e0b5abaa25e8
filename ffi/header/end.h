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
