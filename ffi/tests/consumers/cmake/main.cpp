// A consumer that knows nothing of the tree.
#include <iostream>
#include <tollbar.hpp>

int main()
{
    auto engine = tollbar::Engine::from_yaml("apm-server.auth.secret_token: abcdefgh");
    auto request = tollbar::Request(tollbar::Ip::v4({203, 0, 113, 9})).authorization("Bearer abcdefgh");
    auto decision = engine.check(request);
    std::cout << "C++, Tollbar " << tollbar_version() << ": " << decision.reason_name() << '\n';
    return decision ? 0 : 1;
}
