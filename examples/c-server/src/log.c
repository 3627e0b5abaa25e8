#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const NAMES[] = {"INFO", "WARNING", "ERROR"};
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    struct timespec now;
    struct tm utc;
    char stamp[32] = "";
    if (clock_gettime(CLOCK_REALTIME, &now) == 0 && gmtime_r(&now.tv_sec, &utc)) {
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    }
    // One call, one line: stdio locks the stream for the length of a call.
    fprintf(stderr, "%s.%03ldZ %s %s\n", stamp, now.tv_nsec / 1000000, NAMES[level], message);
}
