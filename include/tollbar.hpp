/*
 * Tollbar for C++17: RAII, string_view and spans over tollbar.h, header only.
 *
 *     #include <iostream>
 *     #include <tollbar.hpp>
 *
 *     int main()
 *     {
 *         auto engine = tollbar::Engine::from_yaml("apm-server.auth.secret_token: correct-horse-battery-staple");
 *         auto request = tollbar::Request(tollbar::Ip::v4({203, 0, 113, 9})).authorization("Bearer wrong");
 *         auto decision = engine.check(request);
 *         std::cout << decision.http_status() << ' ' << decision.message() << '\n';
 *     }
 *
 * What tollbar.h says of threads, times and borrowed text holds here, too: a Request, a Question and a Header hold
 * pointers to what they were made of. A decision never throws: where none could be made, it refuses and its status()
 * says why.
 *
 * What can fail otherwise comes in two forms: `Engine::try_from_yaml` returns an Expected<Engine>, `Engine::from_yaml`
 * the engine, and throws a tollbar::Error. With TOLLBAR_NO_EXCEPTIONS (set by itself under -fno-exceptions) there are
 * only the former.
 */
#ifndef TOLLBAR_HPP
#define TOLLBAR_HPP

#include <tollbar.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#if !defined(TOLLBAR_NO_EXCEPTIONS) && !defined(__cpp_exceptions)
#define TOLLBAR_NO_EXCEPTIONS
#endif

#ifndef TOLLBAR_NO_EXCEPTIONS
#include <stdexcept>
#endif

namespace tollbar
{

/* Nanoseconds of a monotonic clock of yours; none: the library's own. */
using Now = std::optional<std::uint64_t>;

namespace detail
{

inline tollbar_str str(std::string_view text) noexcept
{
    // A view without data is empty text here, not none.
    tollbar_str str = {text.data() ? text.data() : "", text.size()};
    return str;
}

inline tollbar_str str(const std::optional<std::string_view> &text) noexcept
{
    tollbar_str none = TOLLBAR_STR_NULL;
    return text ? str(*text) : none;
}

inline const std::uint64_t *pointer(const Now &now) noexcept
{
    return now ? &*now : nullptr;
}

/* The whole of what a function writes in the manner of snprintf. */
template <typename Write> std::string text(Write write)
{
    std::string buffer(256, '\0');
    for (;;) {
        std::size_t needed = write(buffer.data(), buffer.size());
        bool fits = needed < buffer.size();
        buffer.resize(fits ? needed : needed + 1);
        if (fits) {
            return buffer;
        }
    }
}

} // namespace detail

/* Values side by side: of an array, a vector, a std::span, or a pointer and a length. Borrowed. */
template <typename T> class Span
{
public:
    constexpr Span() noexcept = default;
    constexpr Span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <typename Container,
              typename = std::enable_if_t<std::is_convertible_v<decltype(std::declval<Container &>().data()), T *> &&
                                          sizeof(std::remove_pointer_t<decltype(std::declval<Container &>().data())>) ==
                                              sizeof(T)>>
    constexpr Span(Container &&container) noexcept : data_(container.data()), size_(container.size())
    {
    }
    template <std::size_t N> constexpr Span(T (&array)[N]) noexcept : data_(array), size_(N) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

/* Why something failed that is no decision. */
struct Failure {
    tollbar_status status = TOLLBAR_STATUS_OK;
    /* A line for each problem of a configuration. */
    std::string message;
    /* The same as JSON: see tollbar_error. */
    std::string json;
};

#ifndef TOLLBAR_NO_EXCEPTIONS
/* A Failure as an exception. */
class Error : public std::runtime_error
{
public:
    explicit Error(Failure failure) : std::runtime_error(failure.message), failure_(std::move(failure)) {}

    tollbar_status status() const noexcept { return failure_.status; }
    const std::string &json() const noexcept { return failure_.json; }

private:
    Failure failure_;
};
#endif

/* A value, or why there is none. */
template <typename T> class [[nodiscard]] Expected
{
public:
    Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Expected(Failure failure) : state_(std::in_place_index<1>, std::move(failure)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /* The value; only if there is one. */
    T &operator*() noexcept { return *std::get_if<0>(&state_); }
    T *operator->() noexcept { return std::get_if<0>(&state_); }
    /* Why there is none; only if there is none. */
    const Failure &error() const noexcept { return *std::get_if<1>(&state_); }

#ifndef TOLLBAR_NO_EXCEPTIONS
    /* The value; throws an Error if there is none. */
    T value() &&
    {
        if (Failure *failure = std::get_if<1>(&state_)) {
            throw Error(std::move(*failure));
        }
        return std::move(**this);
    }
#endif

private:
    std::variant<T, Failure> state_;
};

namespace detail
{

/* Calls `ask` with an error to write to, again with more room if it has more to say. `ask` may be called twice, so it
 * must not change anything when it fails. */
template <typename Ask> std::optional<Failure> failure(Ask ask)
{
    Failure failure;
    failure.message.resize(1024);
    failure.json.resize(2048);
    for (bool again = true;; again = false) {
        tollbar_error error = TOLLBAR_ERROR_INIT;
        error.text = failure.message.data();
        error.text_capacity = failure.message.size();
        error.json = failure.json.data();
        error.json_capacity = failure.json.size();
        failure.status = ask(&error);
        if (failure.status == TOLLBAR_STATUS_OK) {
            return std::nullopt;
        }
        bool fits = error.text_len < failure.message.size() && error.json_len < failure.json.size();
        if (fits || !again) {
            failure.message.resize(std::min(error.text_len, failure.message.size()));
            failure.json.resize(std::min(error.json_len, failure.json.size()));
            return failure;
        }
        failure.message.resize(error.text_len + 1);
        failure.json.resize(error.json_len + 1);
    }
}

/* The failure of a function that has no words for it. */
inline Failure failure_of(tollbar_status status)
{
    return Failure{status, tollbar_status_str(status), std::string()};
}

} // namespace detail

/* An IP address. */
struct Ip : tollbar_ip {
    Ip() noexcept : tollbar_ip(TOLLBAR_IP_NONE) {}
    Ip(const tollbar_ip &ip) noexcept : tollbar_ip(ip) {}

    /* From bytes in network byte order. */
    static Ip v4(const std::array<std::uint8_t, 4> &bytes) noexcept { return tollbar_ip_v4(bytes.data()); }
    static Ip v6(const std::array<std::uint8_t, 16> &bytes) noexcept { return tollbar_ip_v6(bytes.data()); }

    /* From text, with or without a port or a zone; none: it is no address. */
    static std::optional<Ip> parse(std::string_view text) noexcept
    {
        Ip ip;
        if (tollbar_ip_parse(detail::str(text), &ip) != TOLLBAR_STATUS_OK) {
            return std::nullopt;
        }
        return ip;
    }
};

/* A header of a request. */
struct Header : tollbar_header {
    Header(std::string_view name_, std::string_view value_) noexcept
        : tollbar_header{detail::str(name_), detail::str(value_)}
    {
    }
};

/* What there is to know of a request before its body is read. */
struct Request : tollbar_request {
    explicit Request(const Ip &from) noexcept : tollbar_request(TOLLBAR_REQUEST_INIT) { peer = from; }

    /* The value of the first Authorization header; unless it is set, it is looked up among the headers. */
    Request &authorization(std::optional<std::string_view> value) noexcept
    {
        tollbar_request::authorization = detail::str(value);
        return *this;
    }

    Request &headers(Span<const Header> all) noexcept
    {
        tollbar_request::headers = all.data();
        headers_len = all.size();
        return *this;
    }
};

/* What is asked about a request: may one event be ingested now, unless it is told otherwise. */
struct Question : tollbar_question {
    Question() noexcept : tollbar_question(TOLLBAR_QUESTION_INIT) {}

    Question &action(tollbar_action value) noexcept
    {
        tollbar_question::action = value;
        return *this;
    }
    Question &agent(std::optional<std::string_view> name) noexcept
    {
        tollbar_question::agent = detail::str(name);
        return *this;
    }
    Question &service(std::optional<std::string_view> name) noexcept
    {
        tollbar_question::service = detail::str(name);
        return *this;
    }
    /* Whether the route is a RUM route. */
    Question &rum(bool value = true) noexcept
    {
        tollbar_question::rum = value;
        return *this;
    }
    /* How many events an anonymous client is charged. */
    Question &cost(std::uint64_t events) noexcept
    {
        tollbar_question::cost = events;
        return *this;
    }
};

static_assert(sizeof(Header) == sizeof(tollbar_header), "arrays of one are arrays of the other");
static_assert(sizeof(Request) == sizeof(tollbar_request), "arrays of one are arrays of the other");
static_assert(sizeof(Question) == sizeof(tollbar_question), "arrays of one are arrays of the other");

/* The engine's answer: a plain value. */
class [[nodiscard]] Decision
{
public:
    /* Refused: nothing was asked. */
    Decision() noexcept : raw_(TOLLBAR_DECISION_INIT) {}

    bool allowed() const noexcept { return raw_.allowed; }
    explicit operator bool() const noexcept { return raw_.allowed; }
    /* Whether the API key has to be verified first. */
    bool pending() const noexcept { return raw_.reason == TOLLBAR_REASON_PENDING; }
    tollbar_reason reason() const noexcept { return raw_.reason; }
    std::string_view reason_name() const noexcept { return tollbar_reason_str(raw_.reason); }
    tollbar_method method() const noexcept { return raw_.method; }
    std::string_view method_name() const noexcept { return tollbar_method_str(raw_.method); }
    int http_status() const noexcept { return raw_.http_status; }
    int grpc_status() const noexcept { return raw_.grpc_status; }
    std::uint64_t generation() const noexcept { return raw_.generation; }
    /* Why no decision was made, if none was. */
    tollbar_status status() const noexcept { return raw_.status; }

    /* Until the refused batch (of a peek: the next event) would fit. None: it fits now, never will, or was refused for
     * another reason. */
    std::optional<std::chrono::nanoseconds> retry_after() const noexcept
    {
        if (raw_.retry_after_ns == 0 || raw_.retry_after_ns > static_cast<std::uint64_t>(INT64_MAX)) {
            return std::nullopt;
        }
        return std::chrono::nanoseconds(static_cast<std::int64_t>(raw_.retry_after_ns));
    }
    /* The value of HTTP's Retry-After; 0: none. */
    std::uint32_t retry_after_seconds() const noexcept { return raw_.retry_after_s; }
    /* How long the caller of reserve() must sleep before it accepts the batch. */
    std::chrono::nanoseconds wait() const noexcept
    {
        return std::chrono::nanoseconds(static_cast<std::int64_t>(raw_.wait_ns));
    }
    /* Events that would still fit; none: no counter was consulted. */
    std::optional<std::uint64_t> remaining() const noexcept
    {
        std::uint64_t remaining = tollbar_decision_remaining(&raw_);
        return remaining == TOLLBAR_NEVER ? std::nullopt : std::optional<std::uint64_t>(remaining);
    }
    /* The value of HTTP's WWW-Authenticate; empty: none. */
    std::string_view www_authenticate() const noexcept
    {
        const char *value = tollbar_decision_www_authenticate(&raw_);
        return value ? std::string_view(value) : std::string_view();
    }
    /* Whom the rate limit counts: "203.0.113.9", "2001:db8::/64". */
    std::string client() const
    {
        return detail::text([&](char *buffer, std::size_t capacity) {
            return tollbar_client_text(raw_.client, raw_.client_prefix, buffer, capacity);
        });
    }
    /* Why, as a sentence for the client. It names the agent or service that is not permitted, of those that were asked
     * about. */
    std::string message(std::optional<std::string_view> agent = std::nullopt,
                        std::optional<std::string_view> service = std::nullopt) const
    {
        return detail::text([&](char *buffer, std::size_t capacity) {
            return tollbar_decision_message(&raw_, detail::str(agent), detail::str(service), buffer, capacity);
        });
    }

    const tollbar_decision &raw() const noexcept { return raw_; }
    tollbar_decision *raw() noexcept { return &raw_; }

private:
    tollbar_decision raw_;
};

static_assert(sizeof(Decision) == sizeof(tollbar_decision), "arrays of one are arrays of the other");

/* A client that was identified: copy it, keep it with the connection. It borrows its engine. */
class Client
{
public:
    Client(const tollbar_engine *engine, const tollbar_client &raw) noexcept : engine_(engine), raw_(raw) {}

    /* What authentication came to. */
    Decision decision() const noexcept
    {
        return ask([&](auto *out) { return tollbar_client_decision(engine_, &raw_, out); });
    }
    /* The rest of what Engine::check does. */
    Decision check(const Question &question, const Now &now = std::nullopt) const noexcept
    {
        return ask(
            [&](auto *out) { return tollbar_client_check(engine_, &raw_, &question, detail::pointer(now), out); });
    }
    /* Whether RUM routes are open. */
    Decision rum_route() const noexcept
    {
        return ask([&](auto *out) { return tollbar_client_rum_route(engine_, &raw_, out); });
    }
    /* Whether the client may do this on behalf of this agent and service. Charges nothing. */
    Decision authorize(tollbar_action action, std::optional<std::string_view> agent,
                       std::optional<std::string_view> service) const noexcept
    {
        return ask([&](auto *out) {
            return tollbar_client_authorize(engine_, &raw_, action, detail::str(agent), detail::str(service), out);
        });
    }
    /* Charges a batch of n events, before any of them is accepted. 0 is a peek. */
    Decision admit(std::uint64_t n, const Now &now = std::nullopt) const noexcept
    {
        return ask([&](auto *out) { return tollbar_client_admit(engine_, &raw_, n, detail::pointer(now), out); });
    }
    /* As admit, but also charges a batch that will fit within max_wait: sleep for wait() before you accept it. */
    Decision reserve(std::uint64_t n, std::chrono::nanoseconds max_wait, const Now &now = std::nullopt) const noexcept
    {
        std::uint64_t wait = max_wait.count() < 0 ? 0 : static_cast<std::uint64_t>(max_wait.count());
        return ask(
            [&](auto *out) { return tollbar_client_reserve(engine_, &raw_, n, wait, detail::pointer(now), out); });
    }

    const tollbar_client &raw() const noexcept { return raw_; }

private:
    template <typename Ask> static Decision ask(Ask ask) noexcept
    {
        Decision decision;
        ask(decision.raw());
        return decision;
    }

    const tollbar_engine *engine_;
    tollbar_client raw_;
};

/* A verification that was started. */
class Verification
{
public:
    /* The client, if the verification has ended. */
    std::optional<Client> poll() const noexcept { return wait(std::chrono::nanoseconds(0)); }
    /* The client, if the verification ends within this time. */
    std::optional<Client> wait(std::chrono::nanoseconds timeout) const noexcept
    {
        tollbar_client client = TOLLBAR_CLIENT_INIT;
        std::uint64_t ns = timeout.count() < 0 ? 0 : static_cast<std::uint64_t>(timeout.count());
        if (tollbar_verification_wait(raw_.get(), ns, &client) != TOLLBAR_STATUS_OK) {
            return std::nullopt;
        }
        return Client(engine_, client);
    }

private:
    friend class Engine;
    struct Free {
        void operator()(tollbar_verification *raw) const noexcept { tollbar_verification_free(raw); }
    };
    Verification(const tollbar_engine *engine, tollbar_verification *raw) noexcept : engine_(engine), raw_(raw) {}

    const tollbar_engine *engine_;
    std::unique_ptr<tollbar_verification, Free> raw_;
};

/* Watches the configuration's files until it is destroyed. */
class Watcher
{
private:
    friend class Engine;
    struct Stop {
        void operator()(tollbar_watcher *raw) const noexcept { tollbar_watch_stop(raw); }
    };
    explicit Watcher(tollbar_watcher *raw) noexcept : raw_(raw) {}

    std::unique_ptr<tollbar_watcher, Stop> raw_;
};

/* What a verifier found of an API key. */
struct Verdict {
    tollbar_verdict verdict = TOLLBAR_VERDICT_UNAVAILABLE;
    /* TOLLBAR_PRIVILEGE_... added up. */
    std::uint32_t privileges = 0;

    static Verdict valid(std::uint32_t privileges) noexcept { return {TOLLBAR_VERDICT_VALID, privileges}; }
    static Verdict invalid() noexcept { return {TOLLBAR_VERDICT_INVALID, 0}; }
    static Verdict unavailable() noexcept { return {}; }
};

/* Verifies an API key: its id and its secret, both borrowed for the call. What it throws is caught: the key can't be
 * verified now. */
using Verifier = std::function<Verdict(std::string_view id, std::string_view key)>;

/* Decides who gets in. Every method may be called from any thread; moving and destroying may not go on beside them. */
class Engine
{
public:
    static Expected<Engine> try_from_file(std::string_view path)
    {
        return made([&](auto **raw, auto *error) { return tollbar_engine_from_file(detail::str(path), raw, error); });
    }
    static Expected<Engine> try_from_yaml(std::string_view yaml)
    {
        return made([&](auto **raw, auto *error) { return tollbar_engine_from_yaml(detail::str(yaml), raw, error); });
    }
    static Expected<Engine> try_from_config(const tollbar_config &config)
    {
        return made([&](auto **raw, auto *error) { return tollbar_engine_from_config(&config, raw, error); });
    }

    /* Decides a whole request: see tollbar_check(). */
    Decision check(const Request &request, const Question &question = Question(),
                   const Now &now = std::nullopt) const noexcept
    {
        Decision decision;
        tollbar_check(raw_.get(), &request, &question, detail::pointer(now), decision.raw());
        return decision;
    }
    /* As check, but waits for the verification of an API key. */
    Decision check_blocking(const Request &request, const Question &question = Question(),
                            const Now &now = std::nullopt) const noexcept
    {
        Decision decision;
        tollbar_check_blocking(raw_.get(), &request, &question, detail::pointer(now), decision.raw());
        return decision;
    }
    /* Decides many requests at one instant. No questions: the default for each. The three must be equally long; if they
     * are not, nothing is asked and nothing allowed. */
    tollbar_status check_batch(Span<const Request> requests, Span<const Question> questions, Span<Decision> decisions,
                               const Now &now = std::nullopt) const noexcept
    {
        if (requests.size() != decisions.size() || (questions.size() != 0 && questions.size() != requests.size())) {
            return refused(decisions);
        }
        return tollbar_check_batch(raw_.get(), requests.data(), questions.data(), requests.size(), detail::pointer(now),
                                   reinterpret_cast<tollbar_decision *>(decisions.data()));
    }

    /* Identifies a client, for servers that decide the rest in steps. One that was refused answers every question with
     * that refusal. */
    Client authenticate(const Request &request, const Now &now = std::nullopt) const noexcept
    {
        tollbar_client client = TOLLBAR_CLIENT_INIT;
        tollbar_authenticate(raw_.get(), &request, detail::pointer(now), &client);
        return Client(raw_.get(), client);
    }
    /* As authenticate, but waits for the verification of an API key. */
    Client verify(const Request &request, const Now &now = std::nullopt) const noexcept
    {
        tollbar_client client = TOLLBAR_CLIENT_INIT;
        tollbar_verify(raw_.get(), &request, detail::pointer(now), &client);
        return Client(raw_.get(), client);
    }
    /* Starts to verify in a thread of the engine's. */
    Expected<Verification> try_start_verification(const Request &request, const Now &now = std::nullopt) const
    {
        tollbar_verification *raw = nullptr;
        tollbar_status status = tollbar_start_verification(raw_.get(), &request, detail::pointer(now), &raw);
        if (status != TOLLBAR_STATUS_OK) {
            return detail::failure_of(status);
        }
        return Verification(raw_.get(), raw);
    }
    /* As start_verification, but calls back, once: in the thread that verifies, or in this one if there is nothing to
     * verify. The engine must outlive the callback. What it throws is dropped. */
    tollbar_status verify_async(const Request &request, std::function<void(Client)> callback,
                                const Now &now = std::nullopt) const
    {
        auto call = std::make_unique<Call>(Call{raw_.get(), std::move(callback)});
        tollbar_status status = tollbar_verify_async(raw_.get(), &request, detail::pointer(now), verified, call.get());
        if (status == TOLLBAR_STATUS_OK) {
            // The callback deletes it.
            static_cast<void>(call.release());
        }
        return status;
    }
    /* Has API keys verified by this instead of Elasticsearch; an empty one: by Elasticsearch again. */
    std::optional<Failure> try_set_verifier(Verifier verifier) const
    {
        return detail::failure([&](tollbar_error *error) {
            if (!verifier) {
                return tollbar_set_verifier(raw_.get(), nullptr, nullptr, nullptr, error);
            }
            return tollbar_set_verifier(raw_.get(), verified_by, new Verifier(verifier), freed, error);
        });
    }
    std::chrono::nanoseconds verification_timeout() const noexcept
    {
        return std::chrono::nanoseconds(static_cast<std::int64_t>(tollbar_engine_verification_timeout(raw_.get())));
    }

    /* Admits n events of each of many clients at one instant. The three must be equally long; if they are not, nothing
     * is charged and nothing allowed. */
    tollbar_status admit_batch(Span<const tollbar_client> clients, Span<const std::uint64_t> ns,
                               Span<Decision> decisions, const Now &now = std::nullopt) const noexcept
    {
        if (clients.size() != decisions.size() || ns.size() != decisions.size()) {
            return refused(decisions);
        }
        return tollbar_admit_batch(raw_.get(), clients.data(), ns.data(), ns.size(), detail::pointer(now),
                                   reinterpret_cast<tollbar_decision *>(decisions.data()));
    }

    /* Takes up a changed configuration, whole or not at all; returns its number. No path: the file of the one in force.
     */
    Expected<std::uint64_t> try_reload_file(std::optional<std::string_view> path = std::nullopt) const
    {
        return reloaded([&](auto *generation, auto *error) {
            return tollbar_reload_file(raw_.get(), detail::str(path), generation, error);
        });
    }
    Expected<std::uint64_t> try_reload_yaml(std::string_view yaml) const
    {
        return reloaded([&](auto *generation, auto *error) {
            return tollbar_reload_yaml(raw_.get(), detail::str(yaml), generation, error);
        });
    }
    Expected<std::uint64_t> try_reload_config(const tollbar_config &config) const
    {
        return reloaded([&](auto *generation, auto *error) {
            return tollbar_reload_config(raw_.get(), &config, generation, error);
        });
    }
    /* Reloads whenever a file of the configuration changes, until the Watcher is destroyed. */
    Expected<Watcher> try_watch(const tollbar_watch_options &options = default_watch_options()) const
    {
        tollbar_watcher *raw = nullptr;
        auto failure = detail::failure(
            [&](tollbar_error *error) { return tollbar_watch_start(raw_.get(), &options, &raw, error); });
        if (failure) {
            return std::move(*failure);
        }
        return Watcher(raw);
    }

#ifndef TOLLBAR_NO_EXCEPTIONS
    static Engine from_file(std::string_view path)
    {
        return try_from_file(path).value();
    }
    static Engine from_yaml(std::string_view yaml)
    {
        return try_from_yaml(yaml).value();
    }
    static Engine from_config(const tollbar_config &config)
    {
        return try_from_config(config).value();
    }
    Verification start_verification(const Request &request, const Now &now = std::nullopt) const
    {
        return try_start_verification(request, now).value();
    }
    void set_verifier(Verifier verifier) const
    {
        if (auto failure = try_set_verifier(std::move(verifier))) {
            throw Error(std::move(*failure));
        }
    }
    std::uint64_t reload_file(std::optional<std::string_view> path = std::nullopt) const
    {
        return try_reload_file(path).value();
    }
    std::uint64_t reload_yaml(std::string_view yaml) const
    {
        return try_reload_yaml(yaml).value();
    }
    std::uint64_t reload_config(const tollbar_config &config) const
    {
        return try_reload_config(config).value();
    }
    Watcher watch(const tollbar_watch_options &options = default_watch_options()) const
    {
        return try_watch(options).value();
    }
#endif

    tollbar_stats stats(const Now &now = std::nullopt) const noexcept
    {
        tollbar_stats stats = TOLLBAR_STATS_INIT;
        tollbar_engine_stats(raw_.get(), detail::pointer(now), &stats);
        return stats;
    }
    /* The statistics as a page for Prometheus. */
    std::string prometheus() const
    {
        return told(tollbar_engine_prometheus);
    }
    /* What works in the configuration in force but deserves a word, a line each. */
    std::string warnings() const
    {
        return told(tollbar_engine_warnings);
    }
    /* The files that it was read from, a line each. */
    std::string files() const
    {
        return told(tollbar_engine_files);
    }
    /* The last 32 reloads as JSON. */
    std::string reloads_json() const
    {
        return told(tollbar_engine_reloads_json);
    }
    /* Why the last verification that came to no verdict did not. */
    std::string verification_error() const
    {
        return told(tollbar_engine_verification_error);
    }
    /* The recent refusals, oldest first. */
    std::vector<tollbar_refusal> refusals() const
    {
        const tollbar_refusal init = TOLLBAR_REFUSAL_INIT;
        std::vector<tollbar_refusal> refusals(TOLLBAR_REFUSALS, init);
        std::size_t count = 0;
        tollbar_engine_refusals(raw_.get(), refusals.data(), refusals.size(), &count, nullptr);
        refusals.resize(count);
        return refusals;
    }

    tollbar_engine *raw() const noexcept
    {
        return raw_.get();
    }

private:
    struct Free {
        void operator()(tollbar_engine *raw) const noexcept { tollbar_engine_free(raw); }
    };
    struct Call {
        const tollbar_engine *engine;
        std::function<void(Client)> callback;
    };

    explicit Engine(tollbar_engine *raw) noexcept : raw_(raw) {}

    template <typename Make> static Expected<Engine> made(Make make)
    {
        tollbar_engine *raw = nullptr;
        auto failure = detail::failure([&](tollbar_error *error) { return make(&raw, error); });
        if (failure) {
            return std::move(*failure);
        }
        return Engine(raw);
    }

    template <typename Reload> static Expected<std::uint64_t> reloaded(Reload reload)
    {
        // Once only: each failure is counted.
        Failure failure;
        std::uint64_t generation = 0;
        failure.message.resize(16384);
        failure.json.resize(65536);
        tollbar_error error = TOLLBAR_ERROR_INIT;
        error.text = failure.message.data();
        error.text_capacity = failure.message.size();
        error.json = failure.json.data();
        error.json_capacity = failure.json.size();
        failure.status = reload(&generation, &error);
        if (failure.status == TOLLBAR_STATUS_OK) {
            return generation;
        }
        failure.message.resize(std::char_traits<char>::length(failure.message.c_str()));
        failure.json.resize(std::char_traits<char>::length(failure.json.c_str()));
        return failure;
    }

    template <typename Tell> std::string told(Tell tell) const
    {
        return detail::text([&](char *buffer, std::size_t capacity) { return tell(raw_.get(), buffer, capacity); });
    }

    static tollbar_status refused(Span<Decision> decisions) noexcept
    {
        for (std::size_t i = 0; i < decisions.size(); i++) {
            decisions.data()[i] = Decision();
            decisions.data()[i].raw()->status = TOLLBAR_STATUS_INVALID_SIZE;
        }
        return TOLLBAR_STATUS_INVALID_SIZE;
    }

    static tollbar_watch_options default_watch_options() noexcept
    {
        tollbar_watch_options options = TOLLBAR_WATCH_OPTIONS_INIT;
        return options;
    }

    static void verified(void *userdata, const tollbar_client *client)
    {
        std::unique_ptr<Call> call(static_cast<Call *>(userdata));
        caught([&] { call->callback(Client(call->engine, *client)); });
    }

    static tollbar_verdict verified_by(void *userdata, tollbar_str id, tollbar_str key, std::uint32_t *privileges)
    {
        Verdict verdict;
        caught([&] {
            verdict = (*static_cast<Verifier *>(userdata))(std::string_view(id.data, id.len),
                                                           std::string_view(key.data, key.len));
        });
        *privileges = verdict.privileges;
        return verdict.verdict;
    }

    static void freed(void *userdata)
    {
        delete static_cast<Verifier *>(userdata);
    }

    template <typename Body> static void caught(Body body)
    {
#ifdef TOLLBAR_NO_EXCEPTIONS
        body();
#else
        try {
            body();
        } catch (...) {
        }
#endif
    }

    std::unique_ptr<tollbar_engine, Free> raw_;
};

} // namespace tollbar

#endif /* TOLLBAR_HPP */
