// tollbar.hpp, with and without exceptions.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <tollbar.hpp>
#include <vector>

namespace
{

int checks = 0;

#define ENSURE(condition)                                                                                              \
    do {                                                                                                               \
        ++checks;                                                                                                      \
        if (!(condition)) {                                                                                            \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
            std::exit(EXIT_FAILURE);                                                                                   \
        }                                                                                                              \
    } while (0)

constexpr const char *shop_yaml = "apm-server:\n"
                                  "  rum.enabled: true\n"
                                  "  auth:\n"
                                  "    secret_token: correct-horse\n"
                                  "    api_key.enabled: true\n"
                                  "    anonymous: {allow_service: [shop], rate_limit: {event_limit: 10}}\n";

tollbar::Engine shop_engine()
{
    auto made = tollbar::Engine::try_from_yaml(shop_yaml);
    ENSURE(made);
    return std::move(*made);
}

void a_request_is_decided()
{
    auto engine = shop_engine();
    auto request = tollbar::Request(*tollbar::Ip::parse("203.0.113.9"));
    auto question = tollbar::Question().agent("rum-js").service("shop");
    auto decision = engine.check(request, question, 0);
    ENSURE(decision && decision.allowed());
    ENSURE(decision.http_status() == 202 && decision.grpc_status() == 0);
    ENSURE(decision.method_name() == "anonymous" && decision.reason_name() == "allowed");
    ENSURE(decision.remaining() == 29U);
    ENSURE(decision.client() == "203.0.113.9");
    ENSURE(!decision.retry_after());
    ENSURE(decision.www_authenticate().empty());
    decision = engine.check(request, tollbar::Question().agent("rum-js").service("blog").rum(), 0);
    ENSURE(decision.http_status() == 403);
    ENSURE(decision.message("rum-js", "blog") == "anonymous access is not permitted for this service: \"blog\"");
    decision = engine.check(request, question.cost(30), 0);
    ENSURE(decision.http_status() == 429 && decision.retry_after() == std::chrono::milliseconds(200));
    ENSURE(decision.retry_after_seconds() == 1);
    decision = engine.check(request.authorization("Bearer wrong"));
    ENSURE(!decision && decision.http_status() == 401 && !decision.www_authenticate().empty());
    std::array<tollbar::Header, 1> headers = {tollbar::Header("Authorization", "Bearer correct-horse")};
    ENSURE(engine.check(request.authorization(std::nullopt).headers(headers)));
    ENSURE(!tollbar::Ip::parse("nowhere"));
    // A view without data is empty text, not none.
    ENSURE(engine.check(request.authorization(std::string_view())).reason() == TOLLBAR_REASON_AGENT_NOT_ALLOWED);
}

void a_client_answers_in_steps()
{
    auto engine = shop_engine();
    auto client = engine.authenticate(tollbar::Request(tollbar::Ip::v6({0x20, 0x01, 0x0d, 0xb8})), 0);
    ENSURE(client.decision());
    ENSURE(client.rum_route());
    ENSURE(client.authorize(TOLLBAR_ACTION_INGEST, "rum-js", "shop"));
    ENSURE(!client.authorize(TOLLBAR_ACTION_INGEST, "rum-js", std::nullopt));
    ENSURE(client.check(tollbar::Question().agent("rum-js").service("shop").cost(29), 0));
    ENSURE(client.admit(1, 0));
    ENSURE(client.admit(0, 0).remaining() == 0U);
    auto reserved = client.reserve(5, std::chrono::seconds(1), 0);
    ENSURE(reserved && reserved.wait() == std::chrono::milliseconds(500));
    ENSURE(!client.reserve(1, std::chrono::nanoseconds(-5), 0));
    ENSURE(reserved.client() == "2001:db8::/64");
}

void batches_are_as_long_as_each_other()
{
    auto engine = shop_engine();
    std::vector<tollbar::Request> requests(3, tollbar::Request(tollbar::Ip::v4({203, 0, 113, 9})));
    requests[1].authorization("Bearer wrong");
    std::vector<tollbar::Question> questions(3, tollbar::Question().agent("rum-js").service("shop"));
    std::vector<tollbar::Decision> decisions(3);
    ENSURE(engine.check_batch(requests, questions, decisions) == TOLLBAR_STATUS_OK);
    ENSURE(decisions[0] && !decisions[1] && decisions[2]);
    ENSURE(engine.check_batch(requests, {}, decisions) == TOLLBAR_STATUS_OK);
    ENSURE(decisions[0].reason() == TOLLBAR_REASON_AGENT_NOT_ALLOWED);
    questions.pop_back();
    ENSURE(engine.check_batch(requests, questions, decisions) == TOLLBAR_STATUS_INVALID_SIZE);
    ENSURE(!decisions[0] && decisions[0].status() == TOLLBAR_STATUS_INVALID_SIZE);
    std::vector<tollbar_client> clients(3, engine.authenticate(requests[0]).raw());
    std::array<std::uint64_t, 3> ns = {1, 1000, 1};
    ENSURE(engine.admit_batch(clients, ns, decisions) == TOLLBAR_STATUS_OK);
    ENSURE(decisions[0] && !decisions[1] && decisions[2]);
    ENSURE(engine.admit_batch(clients, {}, decisions) == TOLLBAR_STATUS_INVALID_SIZE);
}

void failures_come_as_values()
{
    auto made = tollbar::Engine::try_from_yaml("apm-server.auth.secret_tokn: x");
    ENSURE(!made && made.error().status == TOLLBAR_STATUS_CONFIG);
    ENSURE(made.error().message.find("did you mean") != std::string::npos);
    ENSURE(made.error().json.front() == '{' && made.error().json.back() == '}');
    // More than the first try has room for.
    std::string many = "apm-server.auth: {";
    for (int i = 0; i < 200; i++) {
        many += "key" + std::to_string(i) + ": 1, ";
    }
    auto all = tollbar::Engine::try_from_yaml(many + "}");
    ENSURE(!all && all.error().message.find("key199") != std::string::npos && all.error().json.back() == '}');
    auto engine = shop_engine();
    auto reloaded = engine.try_reload_yaml("nonsense: [");
    ENSURE(!reloaded && reloaded.error().status == TOLLBAR_STATUS_CONFIG);
    auto generation = engine.try_reload_yaml("apm-server.rum.enabled: true");
    ENSURE(generation && *generation == 2);
    ENSURE(!engine.try_watch());
    ENSURE(engine.stats().reload_errors == 1);
    ENSURE(engine.prometheus().find("tollbar_reload_errors_total 1\n") != std::string::npos);
    ENSURE(engine.reloads_json().size() > 100);
    tollbar_config config = TOLLBAR_CONFIG_INIT;
    ENSURE(tollbar::Engine::try_from_config(config));
}

void a_function_verifies()
{
    auto engine = shop_engine();
    auto request = tollbar::Request(tollbar::Ip::v4({203, 0, 113, 9})).authorization("ApiKey Y2k6Y29ycmVjdC1ob3JzZQ==");
    auto calls = std::make_shared<int>(0);
    auto failure = engine.try_set_verifier([calls](std::string_view id, std::string_view key) {
        ++*calls;
        return id == "ci" && key == "correct-horse" ? tollbar::Verdict::valid(TOLLBAR_PRIVILEGE_EVENT_WRITE)
                                                    : tollbar::Verdict::invalid();
    });
    ENSURE(!failure);
    ENSURE(engine.check(request).pending());
    ENSURE(engine.verify(request).decision());
    ENSURE(engine.check_blocking(request));
    ENSURE(*calls == 1 && calls.use_count() == 2);
    auto verification = engine.try_start_verification(request);
    ENSURE(verification && verification->wait(std::chrono::seconds(10)));
    ENSURE(verification->poll()->decision());
    std::atomic<int> called{0};
    ENSURE(engine.verify_async(request, [&](const tollbar::Client &client) {
        called += client.decision() ? 1 : 100;
    }) == TOLLBAR_STATUS_OK);
    while (called == 0) {
        std::this_thread::yield();
    }
    ENSURE(called == 1);
    ENSURE(!engine.try_set_verifier({}) && calls.use_count() == 1);
    ENSURE(engine.verification_timeout() == std::chrono::seconds(5));
    ENSURE(!engine.refusals().empty() || engine.refusals().empty());
}

#ifndef TOLLBAR_NO_EXCEPTIONS
void failures_come_as_exceptions()
{
    bool thrown = false;
    try {
        tollbar::Engine::from_file("/nowhere/apm-server.yml");
    } catch (const tollbar::Error &error) {
        thrown =
            error.status() == TOLLBAR_STATUS_CONFIG && std::string(error.what()).find("/nowhere") != std::string::npos;
    }
    ENSURE(thrown);
    auto engine = tollbar::Engine::from_yaml(shop_yaml);
    engine.set_verifier([](std::string_view, std::string_view) -> tollbar::Verdict { throw 1; });
    auto request = tollbar::Request(tollbar::Ip::v4({203, 0, 113, 9})).authorization("ApiKey Y2k6Y29ycmVjdC1ob3JzZQ==");
    ENSURE(engine.verify(request).decision().reason() == TOLLBAR_REASON_UNAVAILABLE);
    ENSURE(engine.reload_yaml(shop_yaml) == 2);
    auto moved = std::move(engine);
    ENSURE(moved.stats().generation == 2);
}
#endif

} // namespace

int main()
{
    a_request_is_decided();
    a_client_answers_in_steps();
    batches_are_as_long_as_each_other();
    failures_come_as_values();
    a_function_verifies();
#ifndef TOLLBAR_NO_EXCEPTIONS
    failures_come_as_exceptions();
#endif
    std::printf("%d passed, 0 failed\n", checks);
}
