// SPDX-License-Identifier: Apache-2.0
// A blocking HTTP client on a raw socket, for tests that must say exactly what is on the wire.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

namespace banyan::serve {

struct TestResponse {
  int status = 0;  // 0: the connection ended before a whole reply
  std::string head, body;
  bool chunked = false;
  std::string Header(std::string_view name) const;
};

class TestClient {
 public:
  explicit TestClient(int port, int receive_buffer = 0);
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool Send(std::string_view bytes);
  // The next reply, its chunks joined. Bytes beyond it stay for the next call.
  TestResponse Receive(bool head_only = false);
  // Whatever comes until `text` has been seen; empty at the end of the connection.
  std::string ReceiveUntil(std::string_view text);
  bool AtEnd();      // waits for the server to close
  bool WasReset();   // the same, with RST
  void HalfClose();  // no more bytes from here
  void Reset();      // closes with RST
  TestResponse Get(std::string_view path);
  TestResponse Post(std::string_view path, std::string_view body, std::string_view headers = {});

 private:
  bool Fill();
  int socket_ = -1;
  std::string buffer_;
};

// Polls until `condition` holds or half a minute has passed: a sanitizer on a busy machine is slow.
template <typename F>
bool Eventually(F condition);
void SleepMs(int ms);

template <typename F>
bool Eventually(F condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    SleepMs(5);
  }
  return condition();
}

}  // namespace banyan::serve
