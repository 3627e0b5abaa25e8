#include "sourcemap.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const size_t MAX_UPLOAD_BYTES = (size_t)64 * 1024 * 1024;
static const size_t PARSER_BYTES = 8 * 1024;
static const unsigned MAX_FIELDS = 16;

static const char *const REQUIRED[] = {"bundle_filepath", "service_name", "service_version", "sourcemap"};
#define REQUIRED_COUNT (sizeof REQUIRED / sizeof *REQUIRED)

struct upload {
    struct MHD_PostProcessor *parser;
    size_t size;
    unsigned fields;
    bool too_many;
    bool filled[REQUIRED_COUNT];
};

static enum MHD_Result field(void *context, enum MHD_ValueKind kind, const char *key, const char *filename,
                             const char *type, const char *encoding, const char *data, uint64_t offset, size_t size)
{
    (void)kind, (void)filename, (void)type, (void)encoding, (void)data;
    struct upload *upload = context;
    if (offset == 0 && ++upload->fields > MAX_FIELDS) {
        upload->too_many = true;
        return MHD_NO;
    }
    for (size_t i = 0; key && i < REQUIRED_COUNT; i++) {
        upload->filled[i] = upload->filled[i] || (size > 0 && strcmp(key, REQUIRED[i]) == 0);
    }
    return MHD_YES;
}

static bool begin(struct request *request, struct refusal *refusal)
{
    if (!gate_authorize(&request->guest, TOLLBAR_ACTION_SOURCEMAP, NULL, NULL, refusal)) {
        return false;
    }
    struct upload *upload = calloc(1, sizeof *upload);
    if (!upload) {
        return refuse(refusal, 503, "the server lacks the memory for this request now");
    }
    request->state = upload;
    const char *type = request_field(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (type && strncasecmp(type, "multipart/form-data", strlen("multipart/form-data")) == 0) {
        upload->parser = MHD_create_post_processor(request->connection, PARSER_BYTES, field, upload);
    }
    if (!upload->parser) {
        char shown[81];
        printable(shown, sizeof shown, type ? type : "", type ? strlen(type) : 0);
        return refuse(refusal, 400, "invalid content type: '%s'; accepted is multipart/form-data with a boundary",
                      shown);
    }
    return true;
}

void sourcemap_begin(struct request *request)
{
    struct refusal refusal;
    if (!begin(request, &refusal)) {
        sourcemap_fail(request, &refusal);
    }
}

bool sourcemap_take(void *context, const char *data, size_t size, struct refusal *refusal)
{
    struct upload *upload = ((struct request *)context)->state;
    if (size > MAX_UPLOAD_BYTES - upload->size) {
        return refuse(refusal, 413, "request body too large: accepted are up to %zu bytes", MAX_UPLOAD_BYTES);
    }
    upload->size += size;
    enum MHD_Result parsed = MHD_post_process(upload->parser, data, size);
    if (upload->too_many) {
        return refuse(refusal, 400, "too many fields; accepted are up to %u", MAX_FIELDS);
    }
    return parsed == MHD_YES || refuse(refusal, 400, "the form data is damaged");
}

void sourcemap_end(struct request *request)
{
    struct upload *upload = request->state;
    struct refusal refusal;
    bool complete = MHD_destroy_post_processor(upload->parser) == MHD_YES;
    upload->parser = NULL;
    char missing[256] = "";
    for (size_t i = 0; i < REQUIRED_COUNT; i++) {
        if (!upload->filled[i]) {
            strcat(strcat(missing, missing[0] ? ", " : ""), REQUIRED[i]);
        }
    }
    if (!complete) {
        refuse(&refusal, 400, "the form data is truncated");
    } else if (missing[0]) {
        refuse(&refusal, 400, "error validating sourcemap: %s must be sent", missing);
    } else {
        reply_empty(&request->reply, MHD_HTTP_ACCEPTED);
        return;
    }
    sourcemap_fail(request, &refusal);
}

void sourcemap_fail(struct request *request, const struct refusal *refusal)
{
    reply_refusal(&request->reply, refusal);
}

void sourcemap_release(struct request *request)
{
    struct upload *upload = request->state;
    if (upload->parser) {
        MHD_destroy_post_processor(upload->parser);
    }
    free(upload);
}
