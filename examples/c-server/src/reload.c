#include "reload.h"

#include "log.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const long QUIET_NS = 100000000; // how long the files must stay as they are
static const int LOOKS = 30;            // files that change for longer are not read

typedef size_t teller(const tollbar_engine *engine, char *buffer, size_t capacity);

// All that a function of Tollbar's has to tell, to be freed; null: memory ran out.
static char *told(teller *tell, const tollbar_engine *engine)
{
    char *text = NULL;
    // What there is to tell may grow meanwhile.
    for (size_t capacity = 4096, needed = capacity; needed >= capacity;) {
        capacity = needed + 1;
        free(text);
        text = malloc(capacity);
        if (!text) {
            return NULL;
        }
        needed = tell(engine, text, capacity);
    }
    return text;
}

static void log_lines(enum log_level level, char *lines)
{
    char *rest = NULL;
    for (char *line = lines ? strtok_r(lines, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        log_line(level, "%s", line);
    }
}

void reload_log_warnings(const tollbar_engine *engine)
{
    char *warnings = told(tollbar_engine_warnings, engine);
    log_lines(LOG_WARNING, warnings);
    free(warnings);
}

// What changes when one of the files does.
static unsigned long long state_of(const tollbar_engine *engine)
{
    char *files = told(tollbar_engine_files, engine);
    unsigned long long state = 0;
    char *rest = NULL;
    for (char *file = files ? strtok_r(files, "\n", &rest) : NULL; file; file = strtok_r(NULL, "\n", &rest)) {
        struct stat found = {0};
        stat(file, &found); // one that isn't there is all zeros
        const unsigned long long parts[] = {found.st_ino, (unsigned long long)found.st_size,
                                            (unsigned long long)found.st_mtim.tv_sec,
                                            (unsigned long long)found.st_mtim.tv_nsec};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            state = (state ^ parts[i]) * 1099511628211ULL; // FNV's step: any mixing will do
        }
    }
    free(files);
    return state;
}

static bool quiet(const tollbar_engine *engine)
{
    unsigned long long before = state_of(engine);
    for (int look = 0; look < LOOKS; look++) {
        nanosleep(&(struct timespec){0, QUIET_NS}, NULL);
        unsigned long long after = state_of(engine);
        if (after == before) {
            return true;
        }
        before = after;
    }
    return false;
}

void reload_now(const tollbar_engine *engine)
{
    log_line(LOG_INFO, "SIGHUP: reloading");
    if (quiet(engine)) {
        // What is wrong with it is told by the history, as of every attempt.
        tollbar_reload_file(engine, (tollbar_str){0}, NULL, NULL);
        reload_tell(engine);
    } else {
        log_line(LOG_ERROR, "not reloaded: the files have kept changing; try again");
    }
}

static const char *text_in(json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : otherwise;
}

static void tell_problem(json_t *problem)
{
    const char *hint = text_in(problem, "hint", NULL);
    log_line(LOG_ERROR, "  %s:%lld:%lld: %s: found %s; accepted: %s%s%s", text_in(problem, "file", "-"),
             (long long)json_integer_value(json_object_get(problem, "line")),
             (long long)json_integer_value(json_object_get(problem, "column")), text_in(problem, "key", "-"),
             text_in(problem, "found", "-"), text_in(problem, "accepted", "-"), hint ? "; hint: " : "",
             hint ? hint : "");
}

static void tell_attempt(const tollbar_engine *engine, json_t *attempt)
{
    if (json_is_true(json_object_get(attempt, "taken"))) {
        char changed[1024] = "nothing";
        size_t length = 0;
        json_t *keys = json_object_get(attempt, "changed");
        for (size_t i = 0; i < json_array_size(keys) && length < sizeof changed; i++) {
            length += (size_t)snprintf(changed + length, sizeof changed - length, "%s%s", i ? ", " : "",
                                       json_string_value(json_array_get(keys, i)));
        }
        log_line(LOG_INFO, "configuration %lld is in force; changed: %s",
                 (long long)json_integer_value(json_object_get(attempt, "generation")), changed);
        reload_log_warnings(engine);
        return;
    }
    json_t *problems = json_object_get(attempt, "problems");
    log_line(LOG_ERROR, "configuration refused, the one before stays in force; problems: %lld",
             (long long)json_integer_value(json_object_get(attempt, "problem_count")));
    for (size_t i = 0; i < json_array_size(problems); i++) {
        tell_problem(json_array_get(problems, i));
    }
}

// The history holds the last 32 attempts, oldest first; those after the one that was logged last are news.
void reload_tell(const tollbar_engine *engine)
{
    static json_int_t logged = -1; // when that was
    char *text = told(tollbar_engine_reloads_json, engine);
    json_t *history = text ? json_loads(text, 0, NULL) : NULL;
    for (size_t i = 0; i < json_array_size(history); i++) {
        json_t *attempt = json_array_get(history, i);
        json_int_t time = json_integer_value(json_object_get(attempt, "time_unix_ns"));
        if (time > logged) {
            logged = time;
            tell_attempt(engine, attempt);
        }
    }
    json_decref(history);
    free(text);
}
