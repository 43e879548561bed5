// Ten samples a second of two signals until the agent is gone: g++ -std=c++17 -O2 example.cpp -o example
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "vantel_client.hpp"

int main(int count, char** arguments) try {
  const char* path = count > 1 ? arguments[1] : "/run/vantel/samples.sock";
  const long rounds = count > 2 ? std::atol(arguments[2]) : 1'000'000'000;
  vantel::Client van(path, "example-cpp", {{"path_cost", "", vantel::Type::float64}, {"Vehicle.Robovan.Drive.SpeedTarget", "m/s", vantel::Type::float64}});
  for (long at = 0; at < rounds; ++at) {
    van.send({{0, std::sin(0.1 * at)}, {1, 5.0}});
    usleep(100'000);
  }
  return 0;
} catch (const std::exception& failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 1;
}
