// Send samples of your own process to the agent of the van. C++17, Linux, no dependency: copy this one file.
//
//   vantel::Client van("/run/vantel/samples.sock", "planner", {{"path_cost", "", vantel::Type::float64},
//                                                              {"Vehicle.Speed", "m/s", vantel::Type::float64}});
//   van.send({{0, 4.2}, {1, 7.5}});   // by place in the declaration, stamped now
//
// A declared name of the built-in catalog keeps that name, and its values are converted to the catalog's unit; any other
// gets the name of the source in front. send() blocks while the agent takes no more, at most timeout_s. Everything that
// fails throws std::runtime_error and closes the connection: make a new Client. Not for use by several threads at once.
// Wire format: docs/own-signals.md. A little-endian machine is assumed, as x86-64 and arm64 are.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace vantel {

enum class Type : std::uint8_t { float64 = 1, float32 = 2, int64 = 3, uint64 = 4, boolean = 5, enumeration = 6 };

struct Signal {
  std::string name;
  std::string unit;
  Type type = Type::float64;
  std::string group = {};
  std::vector<std::string> labels = {};
};

struct Sample {
  std::uint32_t place;          // of the signal in the declaration
  double value;
  std::int64_t t_mono_ns = -1;  // CLOCK_MONOTONIC; negative: now
};

inline std::int64_t mono_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

class Client {
 public:
  static constexpr std::size_t samples_per_message_max = 10'000;

  Client(const std::string& path, const std::string& name, const std::vector<Signal>& signals, int timeout_s = 10)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    try {
      connect(path, timeout_s);
      declare(name, signals);
    } catch (...) {
      close();
      throw;
    }
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Signals that are collected only once the agent has started anew, which it does by itself.
  std::uint64_t waiting() const { return waiting_; }

  void send(const std::vector<Sample>& samples) {
    for (std::size_t first = 0; first < samples.size(); first += samples_per_message_max) {
      const auto last = std::min(samples.size(), first + samples_per_message_max);
      std::string places, times, values;
      const auto now = mono_ns();
      for (auto at = first; at < last; ++at) {
        append(places, samples[at].place);
        append(times, samples[at].t_mono_ns < 0 ? now : samples[at].t_mono_ns);
        append(values, samples[at].value);
      }
      write(field(2, field(1, places) + field(2, times) + field(3, values)));
    }
  }

 private:
  int socket_;
  std::uint64_t waiting_ = 0;

  template <typename Number>
  static void append(std::string& out, Number number) {
    char bytes[sizeof number];
    std::memcpy(bytes, &number, sizeof number);
    out.append(bytes, sizeof number);
  }
  static std::string varint(std::uint64_t number) {
    std::string out;
    for (; number > 0x7F; number >>= 7) out.push_back(static_cast<char>((number & 0x7F) | 0x80));
    out.push_back(static_cast<char>(number));
    return out;
  }
  // A length-delimited field of protobuf.
  static std::string field(unsigned number, const std::string& data) {
    return varint(number << 3 | 2) + varint(data.size()) + data;
  }
  static std::string text(unsigned number, const std::string& data) { return data.empty() ? data : field(number, data); }

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  [[noreturn]] void fail(const std::string& what) {
    const std::string why = std::strerror(errno);
    close();
    throw std::runtime_error("vantel: " + what + ": " + why);
  }

  void connect(const std::string& path, int timeout_s) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("vantel: path of the socket is too long");
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    timeval timeout{};
    timeout.tv_sec = timeout_s;
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect " + path);
  }

  void declare(const std::string& name, const std::vector<Signal>& signals) {
    std::string body = text(1, name);
    for (const auto& signal : signals) {
      std::string entry = text(1, signal.name) + text(2, signal.unit) + varint(3 << 3) +
                          varint(static_cast<std::uint64_t>(signal.type)) + text(4, signal.group);
      for (const auto& label : signal.labels) entry += field(5, label);
      body += field(2, entry);
    }
    write(field(1, body), false);  // refused at once: the answer says why
    answer();
  }

  void answer() {
    const auto head = read(4);
    std::uint32_t size = 0;
    std::memcpy(&size, head.data(), 4);
    if (size > 65536) throw std::runtime_error("vantel: the answer is no answer of an agent");
    const auto message = read(size);
    std::size_t at = 0;
    const auto number = [&] {
      std::uint64_t out = 0;
      for (unsigned shift = 0; at < message.size() && shift < 64; shift += 7) {
        const auto byte = static_cast<std::uint8_t>(message[at++]);
        out |= std::uint64_t{byte & 0x7Fu} << shift;
        if (byte < 0x80) break;
      }
      return out;
    };
    while (at < message.size()) {
      const auto tag = number();
      const auto value = number();
      if (tag == 0x0A) throw std::runtime_error("vantel: refused: " + message.substr(at, value));
      if (tag == 0x10) waiting_ = value;
    }
  }

  void write(const std::string& message, bool must = true) {
    std::string out;
    append(out, static_cast<std::uint32_t>(message.size()));
    out += message;
    for (std::size_t done = 0; done < out.size();) {
      const auto sent = ::send(socket_, out.data() + done, out.size() - done, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && !must && (errno == EPIPE || errno == ECONNRESET)) return;
      if (sent <= 0) fail("send");
      done += static_cast<std::size_t>(sent);
    }
  }

  std::string read(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t done = 0; done < size;) {
      const auto got = ::recv(socket_, out.data() + done, size - done, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got == 0) errno = ECONNRESET;
      if (got <= 0) fail("receive");
      done += static_cast<std::size_t>(got);
    }
    return out;
  }
};

}  // namespace vantel
