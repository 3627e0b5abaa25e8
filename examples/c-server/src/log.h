// What the operator reads: one line an event on standard error, with the time in UTC.
//
// Invariant: a line is written in one piece, whatever thread it comes from. Nothing that a client sent is ever logged,
// nor a secret.
#ifndef C_SERVER_LOG_H
#define C_SERVER_LOG_H

enum log_level { LOG_INFO, LOG_WARNING, LOG_ERROR };

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#endif
