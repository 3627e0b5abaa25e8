#include "root.h"

#include <pthread.h>
#include <time.h>

// Shown as the build date, which agents parse: when this was asked first.
static char started[32];

static void start(void)
{
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) {
        strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
}

void root_end(struct request *request)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct refusal refusal;
    struct guest *guest = &request->guest;
    if (!gate_identify(guest, request->engine, request->connection, &refusal)) {
        root_fail(request, &refusal);
    } else if (!gate_authenticated(guest, &refusal) && refusal.status == MHD_HTTP_SERVICE_UNAVAILABLE) {
        root_fail(request, &refusal);
    } else if (!guest->decision.allowed || gate_anonymous(guest)) {
        reply_empty(&request->reply, MHD_HTTP_OK); // only the authenticated are told more
    } else {
        pthread_once(&once, start);
        reply_json(&request->reply, MHD_HTTP_OK,
                   json_pack("{s:s, s:s, s:b, s:s}", "build_date", started, "build_sha", "tollbar", "publish_ready", 1,
                             "version", tollbar_version()));
    }
}

void root_fail(struct request *request, const struct refusal *refusal)
{
    reply_refusal(&request->reply, refusal);
}
