#include "output.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int output_open(struct output *output, const char *target)
{
    output->torn = false;
    output->descriptor = strcmp(target, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                                                  : open(target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    return output->descriptor < 0 ? errno : pthread_mutex_init(&output->mutex, NULL);
}

static int write_all(int descriptor, const char *data, size_t size, size_t *written)
{
    while (*written < size) {
        ssize_t count = write(descriptor, data + *written, size - *written);
        if (count >= 0) {
            *written += (size_t)count;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

bool output_write(struct output *output, const struct buffer *lines, struct refusal *refusal)
{
    pthread_mutex_lock(&output->mutex);
    size_t written = 0;
    int error = output->torn ? write_all(output->descriptor, "\n", 1, &written) : 0;
    if (error == 0) {
        output->torn = false;
        written = 0;
        error = write_all(output->descriptor, lines->data, lines->size, &written);
        output->torn = error != 0 && written > 0;
    }
    pthread_mutex_unlock(&output->mutex);
    if (error == 0) {
        return true;
    }
    char reason[128];
    const char *text = strerror_r(error, reason, sizeof reason);
    log_line(LOG_ERROR, "cannot write the output: %s", text);
    return refuse(refusal, 503, "cannot write the output: %s", text);
}

void output_close(struct output *output)
{
    close(output->descriptor);
    pthread_mutex_destroy(&output->mutex);
}

static int append(const char *data, size_t size, void *buffer)
{
    buffer_append(buffer, data, size);
    return ((struct buffer *)buffer)->failed ? -1 : 0;
}

bool output_origin(struct buffer *head, const struct guest *guest, const char *protocol, json_t *agent, json_t *service)
{
    char client[TOLLBAR_CLIENT_TEXT];
    tollbar_client_text(guest->decision.client, guest->decision.client_prefix, client, sizeof client);
    json_t *document =
        json_pack("{s:s, s:s, s:O, s:O, s:s}", "client", client, "method", tollbar_method_str(guest->decision.method),
                  "service", service, "agent", agent, "protocol", protocol);
    bool made = document && json_dump_callback(document, append, head, JSON_COMPACT | JSON_ENSURE_ASCII) == 0;
    json_decref(document);
    if (made) {
        head->size--; // its closing brace
    }
    return made;
}

bool output_event(struct buffer *lines, const struct buffer *head, const char *type, json_t *event)
{
    size_t begin = lines->size;
    buffer_append(lines, head->data, head->size);
    buffer_text(lines, ",\"type\":\"");
    buffer_text(lines, type);
    buffer_text(lines, "\",\"event\":");
    bool made = json_dump_callback(event, append, lines, JSON_COMPACT | JSON_ENSURE_ASCII) == 0;
    buffer_text(lines, "}\n");
    if (made && !lines->failed) {
        return true;
    }
    lines->size = begin;
    return false;
}
